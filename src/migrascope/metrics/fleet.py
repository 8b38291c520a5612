"""A fleet's migrations: figures of each instance, from the looks at all of them and its own probe, and totals."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from statistics import median

import polars as pl

from migrascope.metrics import link
from migrascope.metrics.network import measure as network
from migrascope.metrics.packets import NS, Packets
from migrascope.metrics.windows import Windows, end_of, phase_of
from migrascope.model.measured import Measured, missing, summed
from migrascope.store.recording import Recording

SOURCE = "fleet"
ELSEWHERE = "a fleet has figures of its own: fleet.*"
FIGURES = ("from_request_s", "waited_s", "migration_time_s", "blackout_s")
_UNSEEN = {
    "from_request_s": "seen to end",
    "waited_s": "seen to begin",
    "migration_time_s": "seen to begin and end",
    "blackout_s": "watched by a probe of its own",
}
_UNDER_WAY = ("preparing", "running")


@dataclass(frozen=True)
class Instance:
    """One instance: when its migration was asked for, began to be carried out and was over, mono ns, None where that
    was not seen; the bounds are the half-widths between two looks. blackout: None without a probe."""

    name: str
    request_ns: int
    begin_ns: int | None
    end_ns: int | None
    begin_bound_ns: int
    end_bound_ns: int
    failed: str | None
    blackout: Measured | None

    @property
    def migrated(self) -> bool:
        return self.failed is None and self.end_ns is not None

    def figures(self) -> dict[str, Measured]:
        """Each of FIGURES."""
        end = self.end_ns if self.migrated else None
        return {
            "from_request_s": _span("from_request_s", self.request_ns, end, self.end_bound_ns),
            "waited_s": _span("waited_s", self.request_ns, self.begin_ns, self.begin_bound_ns),
            "migration_time_s": _span("migration_time_s", self.begin_ns, end, self.begin_bound_ns + self.end_bound_ns),
            "blackout_s": self.blackout or missing("s", SOURCE, f"not {_UNSEEN['blackout_s']}"),
        }


def _span(key: str, first: int | None, last: int | None, bound_ns: int) -> Measured:
    if first is None or last is None:
        return missing("s", SOURCE, f"not {_UNSEEN[key]}")
    return Measured((last - first) / NS, "s", SOURCE, samples=1).within(resolution=bound_ns / NS)


def is_fleet(recording: Recording) -> bool:
    """Whether a trial was one of a fleet."""
    return SOURCE in recording.trial.tables


def instances(recording: Recording) -> list[Instance]:
    """Every instance that was asked to migrate, in the order of the requests."""
    requests = {event.instance: event for event in recording.events if event.name == "migrate_request"}
    failures = {
        event.instance: str(event.data.get("reason", ""))
        for event in recording.events
        if event.name == "migrate_failed"
    }
    changes = recording.table(SOURCE).sort("asked_ns").partition_by("name", as_dict=True)
    probes = recording.table("echo_sent")
    found = []
    for name, request in requests.items():
        rows = changes.get((name,))
        begin, begin_bound = _first(
            rows, request.mono_ns, pl.col("record").is_in(_UNDER_WAY) | (pl.col("record") == "completed")
        )
        over = (pl.col("status") == "ACTIVE") & (pl.col("task") == "")
        end, end_bound = _first(rows, request.mono_ns, over | (pl.col("status") == "ERROR"), last=True)
        blackout = _blackout(recording, name) if (probes["instance"] == name).any() else None
        found.append(Instance(name, request.mono_ns, begin, end, begin_bound, end_bound, failures.get(name), blackout))
    return found


def _first(rows: pl.DataFrame | None, since: int, shows: pl.Expr, *, last: bool = False) -> tuple[int | None, int]:
    """The middle of the interval in which a state came after the request, and its half-width, ns; None, 0 where it did
    not."""
    chosen = rows.filter((pl.col("answered_ns") >= since) & shows) if rows is not None else None
    if chosen is None or not chosen.height:
        return None, 0
    seen, answered = chosen.select("seen_ns", "answered_ns").row(-1 if last else 0)
    after = max(since, seen)
    return (after + answered) // 2, (answered - after) // 2


def _blackout(recording: Recording, name: str) -> Measured:
    own = recording.of(name)
    packets = Packets.of(own, end_of(recording))
    return replace(network(packets, _windows(recording))["network_blackout_s"], source=SOURCE)


def _windows(recording: Recording) -> Windows:
    """The whole time of the fleet's migrations as one migration."""
    end, begun, migrate = end_of(recording), phase_of(recording, "before"), phase_of(recording, "migrate")
    after, drain = phase_of(recording, "after"), phase_of(recording, "drain")
    over = after if after is not None else end
    during = (migrate, over) if migrate is not None else None
    before = (begun, migrate) if begun is not None and migrate is not None else None
    behind = (over, drain) if drain is not None else None
    return Windows(before, during, None, behind, migrate, None, None, after, None, None, end)


def measure(recording: Recording) -> dict[str, Measured]:
    """fleet.*: totals of a trial of a fleet, and the figures of each instance."""
    found = instances(recording)
    whole = [instance for instance in found if instance.migrated]
    counters = link.of_stream(recording)
    result = {
        "fleet.migrated": Measured(float(len(whole)), "1", SOURCE, samples=len(found)),
        "fleet.failed": Measured(float(len(found) - len(whole)), "1", SOURCE, samples=len(found)),
        "fleet.total_s": _total(whole),
        "fleet.at_once": _most(recording),
        "fleet.data_bytes": link.data(counters, _windows(recording)),
    }
    by_instance = {instance.name: instance.figures() for instance in found}
    for key in FIGURES:
        seen = [figures[key] for figures in by_instance.values()]
        result |= {f"fleet.{key}.{name}": over(seen, name, key) for name in TOTALS}
    for name, figures in by_instance.items():
        result |= {f"fleet.{name}.{key}": measured for key, measured in figures.items()}
    return result


TOTALS: dict[str, Callable[[list[float]], float]] = {"median": median, "max": max, "sum": sum}


def over(figures: list[Measured], name: str, key: str) -> Measured:
    """One of TOTALS over the instances, a sum with the sum of their bounds, another with the largest. At least that,
    where it would be more if those that were cut off never ended."""
    total, there = TOTALS[name], [measured for measured in figures if measured.value is not None]
    if not there:
        return missing("s", SOURCE, f"of no instance {_UNSEEN[key]}")
    value = total([measured.value or 0.0 for measured in there])
    most = total([inf if measured.at_least else measured.value or 0.0 for measured in there])
    widest = max(there, key=lambda measured: measured.bound or 0.0)
    errors = summed(*(measured.errors for measured in (there if name == "sum" else [widest])))
    return Measured(float(value), "s", SOURCE, samples=len(there), at_least=most > value).within(**errors)


def _total(whole: list[Instance]) -> Measured:
    if not whole:
        return missing("s", SOURCE, "no instance migrated")
    last, bound = max((instance.end_ns or 0, instance.end_bound_ns) for instance in whole)
    first = min(instance.request_ns for instance in whole)
    return Measured((last - first) / NS, "s", SOURCE, samples=len(whole)).within(resolution=bound / NS)


def _most(recording: Recording) -> Measured:
    """The most migrations that one look showed under way: there may have been more between two looks."""
    rows = recording.table(SOURCE).sort("asked_ns", maintain_order=True)
    if not rows.filter(pl.col("record") != "").height:
        return missing("1", SOURCE, "the migrations' records are not shown to us")
    under_way: dict[str, bool] = {}
    most = 0
    for look in rows.partition_by("asked_ns", maintain_order=True):
        under_way |= {name: record in _UNDER_WAY for name, record in look.select("name", "record").rows()}
        most = max(most, sum(under_way.values()))
    return Measured(float(most), "1", SOURCE, samples=rows["asked_ns"].n_unique())
