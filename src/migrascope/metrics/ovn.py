"""What OVN did to the instance's port, from its databases, the switches' flows and the controllers' log."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

from migrascope.metrics.floating_ip import CENTRALIZED, distributed
from migrascope.metrics.packets import NS
from migrascope.metrics.windows import Windows, on_our_clock
from migrascope.model.measured import Measured, missing
from migrascope.store.recording import Recording

TABLE = "ovn"
SOURCE = "ovn, journal"
STAMPS = {
    "requested": "Neutron asks for the port on both hosts (requested_additional_chassis)",
    "claiming": "the destination's ovn-controller says that it claims the port",
    "claimed": "the southbound database has the destination as an additional chassis",
    "installed": "the destination's ovn-controller has installed the port's flows (ovn-installed-ts)",
    "activated": "ovn-controller has seen the RARP and says so (additional-chassis-activated)",
    "unblocked": "the flows that kept the port's frames back on the destination are gone",
    "switched": "the port's chassis is the destination",
    "up": "it is up there, in the southbound database",
    "told": "Neutron hears that it is up",
    "floating": "the destination's switch has the flow by which it answers ARP for the distributed floating IP",
}
KEYS = (*(f"ovn.{name}_s" for name in STAMPS), "ovn.unbound_s", "ovn.lag_s")
NOT_OVN = "no OVN wired the port, or nobody followed it"
MS_NS = 1e6
_US_NS = 1e3
# That which answers with a MAC of the floating IP's own; what asks from within gets the router's, on every chassis.
_ANSWERS = re.compile(
    r"event=ADDED .*\barp,reg14=\S*arp_tpa=\S* actions=.*set_field:[0-9a-f:]{17}->eth_src,set_field:2->arp_op"
)
_FLOW = re.compile(r"event=(ADDED|DELETED) .*?table=0 cookie=0x([0-9a-f]+) rarp,")
Row = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """A row of a database that was changed: row, its UUID; old, what differed before; new, all of it after (empty
    where it was deleted). read_ns: when a client of the database on that host had read it, wall ns by that host."""

    host: str
    what: str
    read_ns: int
    row: str
    old: Row
    new: Row


@dataclass(frozen=True)
class Stamp:
    """A moment, mono ns, and the parts of its error, ns (see model.measured.ERRORS)."""

    ns: float
    errors_ns: dict[str, float] = field(default_factory=dict)

    @property
    def earliest_ns(self) -> float:
        """How early it can have been: what is read is late by its error at most."""
        return self.ns - sum(self.errors_ns.values())


def measure(recording: Recording, windows: Windows) -> dict[str, Measured]:
    """ovn.NAME_s of each stamp, from RESUME; ovn.unbound_s; ovn.lag_s."""
    seen = wired(recording, windows)
    if seen is None or windows.resume is None:
        why = NOT_OVN if seen is None else "no RESUME on the destination"
        return {key: missing("s", SOURCE, why) for key in KEYS}
    found = {f"ovn.{name}_s": _since_resume(seen, name, windows.resume) for name in STAMPS}
    if not distributed(recording):
        found["ovn.floating_s"] = missing("s", SOURCE, CENTRALIZED)
    found["ovn.unbound_s"] = Measured(seen.unbound_ns / NS, "s", SOURCE, samples=1).within(
        resolution=2 * max(seen.lag_ns or 0.0, MS_NS) / NS
    )
    lag = seen.lag_ns
    found["ovn.lag_s"] = (
        Measured(lag / NS, "s", SOURCE, samples=1).within(resolution=MS_NS / NS)
        if lag is not None
        else missing("s", SOURCE, "OVN stamped nothing of its own")
    )
    return found


def _since_resume(seen: "Wired", name: str, resume_ns: int) -> Measured:
    stamp = seen.stamps.get(name)
    if stamp is None:
        held = seen.held or name not in ("activated", "unblocked")
        return missing("s", SOURCE, "nothing showed it" if held else "the port was not to wait for a RARP")
    errors = {part: error / NS for part, error in stamp.errors_ns.items()}
    return Measured(round((stamp.ns - resume_ns) / NS, 6), "s", SOURCE, samples=1).within(**errors)


@dataclass(frozen=True)
class Wired:
    """stamps: by name of STAMPS, those that were seen. held: whether the destination's port was to wait for a RARP.
    unbound_ns: for how long the port had no chassis at all before the destination's. lag_ns: the longest that a change
    of a switch's database took from OVN's own stamp until it was read; None where OVN stamped none."""

    stamps: dict[str, Stamp]
    held: bool
    unbound_ns: float
    lag_ns: float | None


def value(raw: Any) -> Any:
    """A value of OVSDB (RFC 7047, 5.1) as a plain one: a map as a dict, a set as a tuple, a UUID as its text."""
    if isinstance(raw, list):
        kind, content = raw
        if kind == "map":
            return {value(key): value(item) for key, item in content}
        return tuple(value(item) for item in content) if kind == "set" else content
    return raw


def members(raw: Any) -> tuple[Any, ...]:
    """The members of a set, which OVSDB writes without its brackets where there is one."""
    return raw if isinstance(raw, tuple) else (raw,)


def changed(line: str) -> Iterator[tuple[str, Row, Row]]:
    """(row, old, new) of each row in a line of `ovsdb-client --format=json monitor`; a row that is inserted, or was
    there at the beginning, has nothing old, one that is deleted nothing new."""
    said = json.loads(line)
    names = said["headings"][2:]
    old: tuple[str, Row] = ("", {})
    for row, action, *values in said["data"]:
        known = {name: value(raw) for name, raw in zip(names, values, strict=True) if raw is not None}
        if action == "old":
            old = row, known
        elif action == "new":
            yield old[0], old[1], known
        else:
            yield (row, known, {}) if action == "delete" else (row, {}, known)


def changes(recording: Recording) -> list[Change]:
    """What was read of the databases, by time."""
    rows = recording.table(TABLE).sort("wall_ns").select("host", "what", "wall_ns", "line").rows()
    return [
        Change(host, what, wall, *change)
        for host, what, wall, line in rows
        if what in ("binding", "interface", "chassis")
        for change in changed(line)
    ]


def wired(recording: Recording, windows: Windows) -> Wired | None:
    """What was seen of the port from the request on; None where no OVN was followed."""
    found = changes(recording)
    names = {change.row: change.new["name"] for change in found if change.what == "chassis" and change.new}
    if not names or windows.request is None:
        return None
    story = _Story(recording, windows.request, found, names)
    return Wired(story.stamps(), story.held(), story.unbound_ns(), story.lag_ns)


class _Story:
    """The changes since the request, and where to find what in them. names: of the chassis, by row."""

    def __init__(self, recording: Recording, request_ns: int, found: list[Change], names: dict[str, str]) -> None:
        self._recording, self._request_ns = recording, request_ns
        self._destination = recording.trial.destination
        self._row = next((row for row, name in names.items() if name == self._destination), "")
        since = [change for change in found if self._since(change.host, change.read_ns)]
        self._bindings = [change for change in since if change.what == "binding" and change.new]
        self._interfaces = [change for change in since if change.what == "interface" and change.new]

    def _since(self, host: str, wall_ns: int) -> bool:
        moment = on_our_clock(self._recording, host, wall_ns)
        return moment is not None and moment[0] >= self._request_ns

    def _stamp(self, host: str, wall_ns: int, resolution_ns: float) -> Stamp | None:
        moment = on_our_clock(self._recording, host, wall_ns)
        return Stamp(moment[0], {"resolution": resolution_ns, "clock": moment[1]}) if moment is not None else None

    @cached_property
    def lag_ns(self) -> float | None:
        lags = [change.read_ns - int(stamp) * MS_NS for change in self._interfaces if (stamp := _installed(change))]
        return max(lags, default=None)

    def held(self) -> bool:
        return any("activation-strategy" in change.new["options"] for change in self._bindings)

    def stamps(self) -> dict[str, Stamp]:
        found = {
            "requested": self._bound(lambda new: self._row in members(new["requested_additional_chassis"])),
            "claiming": self._said(
                self._destination, "ovn-controller", r"Claiming lport \S+ for this additional chassis"
            ),
            "claimed": self._bound(lambda new: self._row in members(new["additional_chassis"])),
            "installed": self._installed(),
            "activated": self._bound(
                lambda new: self._destination in new["options"].get("additional-chassis-activated", "").split(",")
            ),
            "unblocked": self._unblocked(),
            "switched": self._switched(),
            "up": self._up(),
            "told": self._told(),
            "floating": self._floating(),
        }
        return {name: stamp for name, stamp in found.items() if stamp is not None}

    def _bound(self, shows: Callable[[Row], bool]) -> Stamp | None:
        """When the port's binding first showed it."""
        first = next((change for change in self._bindings if shows(change.new)), None)
        return self._read(first.host, first.read_ns) if first is not None else None

    def _switched(self) -> Stamp | None:
        return self._bound(lambda new: self._row in members(new["chassis"]))

    def _up(self) -> Stamp | None:
        """When it was up on the destination to stay: its binding may be lost for some ms after it has switched."""
        since = None
        for change in self._bindings:
            there = self._row in members(change.new["chassis"]) and change.new["up"] is True
            since = (since or change) if there else None
        return self._read(since.host, since.read_ns) if since is not None else None

    def _read(self, host: str, wall_ns: int) -> Stamp | None:
        """The stamp of what was read then: it is late by what the reading took, as far as that is known."""
        return self._stamp(host, wall_ns, max(self.lag_ns or 0.0, MS_NS))

    def _installed(self) -> Stamp | None:
        """OVN's own first stamp on the destination, in whole ms, cut off."""
        stamps = (_installed(change) for change in self._interfaces if change.host == self._destination)
        first = next(filter(None, stamps), None)
        return self._stamp(self._destination, int(first) * 10**6, MS_NS) if first is not None else None

    def _unblocked(self) -> Stamp | None:
        """When the destination's switch let go for good of the flow that shows the port's RARP to ovn-controller: that
        flow and those that drop all else go together. An ovn-controller that starts anew clears the switch and
        installs them again. A flow's cookie is how the row's UUID begins."""
        cookies = {int(change.row[:8], 16) for change in self._bindings if change.row}
        released = None
        for wall, line in self._flows():
            flow = _FLOW.search(line)
            if flow is not None and int(flow[2], 16) in cookies:
                released = wall if flow[1] == "DELETED" else None
        return self._read(self._destination, released) if released is not None else None

    def _floating(self) -> Stamp | None:
        """When the destination's switch took the flow that answers ARP for the floating IP: OVN has it on the chassis
        alone that has the port, and a port's additional chassis is none."""
        taken = next((wall for wall, line in self._flows() if _ANSWERS.search(line)), None)
        return self._read(self._destination, taken) if taken is not None else None

    def _flows(self) -> Iterator[tuple[int, str]]:
        """The changes of flows on the destination by time: wall ns by that host, and what it said."""
        rows = self._recording.table(TABLE).sort("wall_ns").select("host", "what", "wall_ns", "line").rows()
        for host, what, wall, line in rows:
            if what == "flow" and host == self._destination and self._since(host, wall):
                yield wall, line

    def unbound_ns(self) -> float:
        """How long all of its bindings without a chassis lasted, each until the next."""
        return sum(
            following.read_ns - change.read_ns
            for change, following in pairwise(self._bindings)
            if not members(change.new["chassis"])
        )

    def _said(self, host: str | None, unit: str, words: str, after_ns: float = 0) -> Stamp | None:
        """The first line of that unit's journal with the words, on that host or any."""
        pattern = re.compile(words)
        for where, wall, name, message in self._recording.table("journal").sort("wall_ns").select(
            "host", "wall_ns", "unit", "message"
        ).rows():  # fmt: skip
            if name == unit and host in (None, where) and pattern.search(message) and self._since(where, wall):
                stamp = self._stamp(where, wall, _US_NS)
                if stamp is not None and stamp.ns >= after_ns:
                    return stamp
        return None

    def _told(self) -> Stamp | None:
        switched = self._switched()
        if switched is None:
            return None
        return self._said(None, "neutron-api", "OVN reports status up for port", switched.ns)


def _installed(change: Change) -> str:
    """The ovn-installed-ts that the change brought; empty where it brought none."""
    before, now = change.old.get("external_ids"), change.new.get("external_ids", {})
    stamp = str(now.get("ovn-installed-ts", ""))
    if before is None or not stamp or now.get("ovn-installed") != "true":
        return ""
    return stamp if before.get("ovn-installed-ts") != stamp else ""
