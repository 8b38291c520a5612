"""Whether the neighbour tables of router and client were right over the switchover, and when they were confirmed."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from migrascope.metrics.hostclock import STAMP_NS
from migrascope.metrics.packets import NS
from migrascope.metrics.windows import Windows
from migrascope.model.family import FIRST, NOT_PLANNED, SECOND, Family, key_of
from migrascope.model.measured import Measured, missing
from migrascope.store.recording import Recording

SOURCE = "neighbour_state"
PLACES = ("router", "client")
_UNITS = {"right": "1", "wrong_s": "s", "confirmed_s": "s"}
_UNSEEN, _REACHABLE = "unseen", "reachable"


class _Held(NamedTuple):
    """What a table had for an address from a stamp on (mono ns)."""

    ns: int
    state: str
    mac: str


def measure(recording: Recording, windows: Windows) -> dict[str, Measured]:
    """PLACE_neighbour.right: 1 where the entry named the instance's link-layer address at STOP, else 0;
    PLACE_neighbour.wrong_s: for how long, from STOP on, it named another one or none; PLACE_neighbour.confirmed_s: from
    RESUME until a neighbour had confirmed it. Over each family."""
    found = {}
    for place in PLACES:
        for family in (FIRST, SECOND):
            for name, measured in _figures(recording, windows, place, family).items():
                key = f"{place}_neighbour.{name}"
                found[key if family == FIRST else key_of(key)] = measured
    return found


def _figures(recording: Recording, windows: Windows, place: str, family: Family) -> dict[str, Measured]:
    held, why = _held(recording, place, family, windows.end)
    own = next((entry.mac for entry in held if entry.mac), "")
    if not why and not own:
        why = f"the neighbour table of the {place} had no entry of the instance"
    if not why and (windows.stop is None or windows.resume is None):
        why = "no switchover was seen"
    if why or windows.stop is None or windows.resume is None:
        return {name: missing(unit, SOURCE, why) for name, unit in _UNITS.items()}
    stop, resume, end = windows.stop, windows.resume, windows.end
    before = next((entry for entry in reversed(held) if entry.ns <= stop), None)
    right = before is not None and before.mac == own
    wrong = _wrong_ns(held, own, stop, end)
    confirmed = next((entry for entry in held if entry.ns >= resume and _confirms(entry, own)), None)
    error = {"resolution": STAMP_NS / NS, "clock": recording.wall_clock.worst_step_ns() / NS}
    return {
        "right": Measured(float(right), "1", SOURCE, samples=len(held)),
        "wrong_s": Measured(wrong / NS, "s", SOURCE, samples=len(held)).censored(held[-1].mac != own),
        "confirmed_s": (
            missing("s", SOURCE, f"the {place} had not confirmed its entry when recording ended")
            if confirmed is None
            else Measured((confirmed.ns - resume) / NS, "s", SOURCE, samples=1).within(**error)
        ),
    }


def _held(recording: Recording, place: str, family: Family, end: int) -> tuple[list[_Held], str]:
    """What the table had for the instance's address until recording ended; or why nobody knows."""
    if family == SECOND and SECOND not in recording.trial.plan.get("families", []):
        return [], NOT_PLANNED
    rows = [row for row in recording.table(SOURCE).rows(named=True) if row["place"] == place]
    if not rows:
        return [], f"nobody looked into the neighbour table of the {place}"
    seen = [row for row in rows if row["state"] != _UNSEEN]
    if not seen and (reason := next((row["why"] for row in rows if row["why"]), "")):
        return [], reason
    return [
        _Held(row["read_ns"], row["state"], row["mac"])
        for row in seen
        if row["read_ns"] <= end and (":" in row["address"]) == (family == SECOND)
    ], ""


def _confirms(entry: _Held, own: str) -> bool:
    return entry.state == _REACHABLE and entry.mac == own


def _wrong_ns(held: Sequence[_Held], own: str, start: int, end: int) -> int:
    """How much of that time the entry had another address or none. Before the first row there was none."""
    changes = [_Held(min(start, held[0].ns), "none", ""), *held, _Held(end, "", own)]
    return sum(
        max(0, min(later.ns, end) - max(earlier.ns, start))
        for earlier, later in pairwise(changes)
        if earlier.mac != own
    )
