"""What was seen of a machine beside its probes, and what that shows of a blackout: how long the guest was paused, and
whether it moved or was started anew."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from migrascope.metrics.network import migration_gap
from migrascope.metrics.outside import ADVANCED, RESET, of_segments, segments_of, unseen_of
from migrascope.metrics.packets import NS, Ints, Packets, Span, to_mono
from migrascope.metrics.peer_clock import Step, Unknown
from migrascope.metrics.windows import Windows
from migrascope.model.signs import Judgement, Sign, judge

if TYPE_CHECKING:
    from migrascope.store.recording import Recording

TABLE, UNSEEN = "table", "unseen"
ANNOUNCED_NS = NS
"""Who has moved is announced in the blackout, or so long after it at most: QEMU does it five times in 0.8 s."""
_SHORT = 8
OF_OTHERS = ("address", "hosts")
"""Labs whose machine is others'."""
NOT_SEEN = "nothing was seen of its link"
_ANNOUNCED = {"rarp": "RARP", "garp": "gratuitous ARP", "na": "neighbour advertisement"}
Segment = tuple[int, int, int, int, int]
"""Connection, flags, tsval, TTL, when it came (mono ns)."""


class OnLink(NamedTuple):
    """A row of the table neighbour, by when it came (mono ns)."""

    how: str
    mac: str
    why: str
    mono_ns: int


class Boot(NamedTuple):
    """A row of the table boot, its stamps in mono ns."""

    asked_ns: int
    answered_ns: int
    boot_id: str
    problem: str


@dataclass(frozen=True)
class Evidence:
    """All that was seen beside the probes, each in the order in which it came. clock_unseen: why there are no segments,
    empty where a connection is kept. boots: empty where no boot id was asked for."""

    segments: Sequence[Segment] = ()
    clock_unseen: str = ""
    on_link: Sequence[OnLink] = ()
    boots: Sequence[Boot] = ()


@dataclass(frozen=True)
class Shown:
    """What a blackout shows, or a migration. over: that span (mono ns). step: None where the guest was not seen to be
    paused, as `unknown` says. kept: whether the kept connection lasted, None without one, or where nothing came on any
    after it."""

    over: Span
    step: Step | None
    unknown: str
    kept: bool | None
    signs: list[Sign]
    judgement: Judgement

    def as_json(self) -> dict[str, Any]:
        """With the moment of each sign in seconds from the begin of the span."""
        return {
            "verdict": self.judgement.verdict,
            "why": self.judgement.why,
            "connection_kept": self.kept,
            "signs": [
                {"kind": sign.kind, "at_s": (sign.mono_ns - self.over[0]) / NS, "note": sign.note}
                for sign in self.signs
            ],
        }


def measure(recording: "Recording", packets: Packets, windows: Windows) -> Shown | None:
    """What a trial shows of a machine whose hosts nobody here knows: its clock over the network blackout, the other
    signs over the whole migration. None for another lab, or without a migration that is over."""
    if recording.trial.facts.get("lab") not in OF_OTHERS or windows.during is None:
        return None
    gap = migration_gap(packets, windows)
    if gap is not None and not gap.ended:
        return None
    return shown(evidence_of(recording), windows.during, None if gap is None else (gap.start_ns, gap.end_ns))


def evidence_of(recording: "Recording") -> Evidence:
    """What a trial has recorded beside its probes."""
    segments = list(zip(*(column.tolist() for column in segments_of(recording)), strict=True))
    links = recording.table("neighbour")
    walls, read = (np.asarray(links[name].to_numpy(), dtype=np.int64) for name in ("recv_wall_ns", "recv_ns"))
    heard = to_mono(recording.wall_clock, walls, read).tolist()
    return Evidence(
        segments,
        "" if segments else unseen_of(recording),
        [
            OnLink(how, mac, why, at)
            for (how, mac, why), at in zip(links.select("how", "mac", "why").iter_rows(), heard, strict=True)
        ],
        [Boot(*row) for row in recording.table("boot").select(Boot._fields).iter_rows()],
    )


def shown(seen: Evidence, over: Span, silent: Span | None = None) -> Shown:
    """What a blackout over the span (mono ns) shows. silent: where in it nothing came, over which the guest's clock is
    read; None: all of it."""
    silent = silent or over
    columns: list[Ints] = [np.array([row[at] for row in seen.segments], dtype=np.int64) for at in range(5)]
    connection, flags, _, ttl, arrived = columns
    step, unknown = _paused(seen, columns, silent)
    signs = [] if step is None else [Sign("clock-stopped", silent[1], f"{1000 * step.seconds:.0f} ms")]
    number = connection[arrived <= over[0]][-1:]
    resets = arrived[(arrived > over[0]) & np.isin(connection, number) & ((flags & RESET) != 0)]
    if len(resets):
        signs.append(Sign("reset", int(resets[0])))
    signs += _other_path(ttl, arrived, over)
    signs += _on_link(seen.on_link, over)
    boot, untold = _boot(seen.boots, over)
    signs += boot
    later = connection[arrived >= over[1]]
    kept = bool(np.isin(later, number).any()) if len(number) and len(later) else None
    if len(resets):
        kept = False
    return Shown(over, step, unknown, kept, signs, judge(signs, _blind(seen, unknown, untold)))


def _paused(seen: Evidence, columns: Sequence[Ints], over: Span) -> tuple[Step | None, str]:
    """How long the guest's clock stood still, or None and why that is not known."""
    if seen.clock_unseen:
        return None, seen.clock_unseen
    connection, flags, tsval, _, arrived = columns
    try:
        step = of_segments(connection, flags, tsval, arrived, over)
    except Unknown as error:
        return None, str(error)
    return (step, "") if step.still else (None, ADVANCED)


def _other_path(ttl: Ints, arrived: Ints, over: Span) -> list[Sign]:
    known = ttl >= 0
    before, after = (known & (arrived <= over[0])), (known & (arrived >= over[1]))
    if not before.any() or not after.any() or ttl[before][-1] == ttl[after][-1]:
        return []
    first = int(arrived[after & (ttl == ttl[after][-1])][0])
    return [Sign("ttl", first, f"TTL {ttl[after][-1]} instead of {ttl[before][-1]}")]


def _on_link(rows: Sequence[OnLink], over: Span) -> list[Sign]:
    """Another MAC, and announcements of the address."""
    signs = []
    macs = [row for row in rows if row.how == TABLE]
    before = [row.mac for row in macs if row.mono_ns <= over[0]][-1:]
    after = [row for row in macs if row.mono_ns > over[0]][:1]
    if before and after and after[0].mac != before[0]:
        signs.append(Sign("mac", after[0].mono_ns, f"{after[0].mac} instead of {before[0]}"))
    heard = [row for row in rows if row.how in _ANNOUNCED and over[0] < row.mono_ns <= over[1] + ANNOUNCED_NS]
    if heard:
        signs.append(Sign("announced", heard[0].mono_ns, f"{_ANNOUNCED[heard[0].how]} of {heard[0].mac}"))
    return signs


def _boot(rows: Sequence[Boot], over: Span) -> tuple[list[Sign], str]:
    """Whether the machine is of the same boot, or why that is not known; neither where it was not asked."""
    before = [row for row in rows if row.boot_id and row.answered_ns <= over[0]][-1:]
    after = [row for row in rows if row.boot_id and row.asked_ns >= over[0] and row.answered_ns >= over[1]]
    if not before or not after:
        problem = next((row.problem for row in reversed(rows) if row.problem), "")
        words = f"its boot id was not told {'after' if before else 'before'} it{f' ({problem})' if problem else ''}"
        return [], words if rows else ""
    known = before[0].boot_id
    other = next((row for row in after if row.boot_id != known), None)
    if other is None:
        return [Sign("same-boot", after[0].answered_ns, _short(known))], ""
    return [Sign("new-boot", other.answered_ns, f"{_short(other.boot_id)} instead of {_short(known)}")], ""


def _short(boot_id: str) -> str:
    return boot_id if len(boot_id) <= _SHORT else f"{boot_id[:_SHORT]}…"


def _blind(seen: Evidence, unknown: str, untold: str) -> list[str]:
    """Why nobody could look; empty where anybody could. untold: why there is no boot id that was asked for."""
    if unknown in ("", ADVANCED) or any(row.how == TABLE for row in seen.on_link):
        return []
    link = next((row.why for row in seen.on_link if row.how == UNSEEN), NOT_SEEN)
    return [unknown, link, *([untold] if untold else [])]
