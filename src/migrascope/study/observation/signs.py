"""What is kept of an address beside its probes, and what it shows of a blackout: how long the guest was paused, and
whether it moved or was started anew."""

import ipaddress
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from migrascope.metrics.outside import ADVANCED, RESET, of_segments
from migrascope.metrics.packets import Ints, Span
from migrascope.metrics.peer_clock import Step, Unknown
from migrascope.metrics.sliding import KEPT_NS
from migrascope.model.observation import Target
from migrascope.model.signs import Judgement, Sign, judge

_NEIGHBOURS = Path("/proc/net/arp")
_NO_MAC = "00:00:00:00:00:00"
_OTHER_LINK = "it is not on this link, where its MAC would show"
Row = tuple[int, int, int, int, int]
"""Of a segment: connection, flags, tsval, TTL, when it came (mono ns)."""


@dataclass(frozen=True)
class Shown:
    """What a blackout shows. step: None where the guest was not seen to be paused, as `unknown` says. kept: whether the
    kept connection lasted, None without one, or where nothing came on any after it."""

    step: Step | None
    unknown: str
    kept: bool | None
    signs: list[Sign]
    judgement: Judgement


class Beside:
    """The segments of the last minute, and the MACs that an address had. Its memory does not grow."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._rows: deque[Row] = deque()
        self._macs: deque[tuple[int, str]] = deque(maxlen=2)

    def add(self, rows: Iterable[Row], mac: str | None, now_ns: int) -> None:
        """Segments in the order in which they came, and the MAC that the address has now; None where it has none."""
        self._rows.extend(rows)
        while self._rows and self._rows[0][-1] < now_ns - KEPT_NS:
            self._rows.popleft()
        if mac is not None and (not self._macs or self._macs[-1][1] != mac):
            self._macs.append((now_ns, mac))

    def shown(self, over: Span) -> Shown:
        """What a blackout over the span (mono ns) shows."""
        columns: list[Ints] = [np.array([row[at] for row in self._rows], dtype=np.int64) for at in range(5)]
        connection, flags, tsval, ttl, arrived = columns
        signs, unseen, step, unknown = [], [], None, self._target.clock_unseen
        if not unknown:
            try:
                step = of_segments(connection, flags, tsval, arrived, over)
            except Unknown as error:
                unknown = str(error)
        if step is not None and not step.still:
            step, unknown = None, ADVANCED
        elif step is not None:
            signs.append(Sign("clock-stopped", over[1], f"{1000 * step.seconds:.0f} ms"))
        else:
            unseen.append(unknown)
        number = connection[arrived <= over[0]][-1:]
        resets = arrived[(arrived > over[0]) & np.isin(connection, number) & ((flags & RESET) != 0)]
        if len(resets):
            signs.append(Sign("reset", int(resets[0])))
        signs += _other_path(ttl, arrived, over)
        if not self._macs:
            unseen.append(_OTHER_LINK)
        elif len(self._macs) == 2 and self._macs[1][0] > over[0]:
            signs.append(Sign("mac", self._macs[1][0], f"{self._macs[1][1]} instead of {self._macs[0][1]}"))
        blind = unseen if len(unseen) == 2 else []
        later = connection[arrived >= over[1]]
        kept = bool(np.isin(later, number).any()) if len(number) and len(later) else None
        if len(resets):
            kept = False
        return Shown(step, unknown, kept, signs, judge(signs, blind))


def _other_path(ttl: Ints, arrived: Ints, over: Span) -> list[Sign]:
    known = ttl >= 0
    before, after = (known & (arrived <= over[0])), (known & (arrived >= over[1]))
    if not before.any() or not after.any() or ttl[before][-1] == ttl[after][-1]:
        return []
    first = int(arrived[after & (ttl == ttl[after][-1])][0])
    return [Sign("ttl", first, f"TTL {ttl[after][-1]} instead of {ttl[before][-1]}")]


def neighbours() -> dict[str, str]:
    """The MAC of each IPv4 address on this machine's links that is known now."""
    try:
        lines = _NEIGHBOURS.read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return {}
    return macs_of(lines)


def macs_of(lines: Iterable[str]) -> dict[str, str]:
    """The same of the lines of /proc/net/arp, without its heading."""
    fields = [line.split() for line in lines]
    return {found[0]: found[3] for found in fields if len(found) >= 4 and found[3] != _NO_MAC and _is_address(found[0])}


def _is_address(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True
