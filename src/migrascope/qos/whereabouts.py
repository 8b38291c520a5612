"""Who was last where, and when that changed."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from migrascope.store.pcap.frames import Ints
from migrascope.store.pcap.links import Hashes

MOST_MOVES = 8
"""Who moves more often has several places, and does not move."""
MOST_KNOWN = 1 << 17
_MOST_SEEN = 1 << 10
"""Who is seen in another place more often has several, too."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A frame of somebody: its stamp (ns since 1970), the sender's hardware address (None: its link has none), the end
    of the tunnel that it came through, and the number of the interface that saw it."""

    time_ns: int
    hardware: int | None
    tunnel: str | None
    port: int


@dataclass(slots=True)
class _Known:
    """place: where somebody is; since: its first frame from there; other: another place, and the first frame from it of
    as many in a row as count; seen: how often it was seen in another place."""

    place: int
    since: Sighting
    other: tuple[int, Sighting] | None = None
    count: int = 0
    seen: int = 0


class Whereabouts:
    """The places of many, each known by a number. enough: so many frames in a row from another place are a move."""

    def __init__(self, enough: int) -> None:
        self._enough = enough
        self._known: dict[int, _Known] = {}
        self._moves: dict[int, list[Sighting]] = {}
        self._restless: set[int] = set()

    def add(self, who: Ints, places: Ints | Hashes, sight: Callable[[int], Sighting]) -> None:
        """Frames of a batch by sender, those of each in the order of the file. sight: of one of these."""
        if not len(who):
            return
        new = np.concatenate(([True], (who[1:] != who[:-1]) | (places[1:] != places[:-1])))
        starts = np.flatnonzero(new)
        counts = np.diff(starts, append=len(who))
        if self._restless:
            calm = ~np.isin(who[starts], np.array(sorted(self._restless), dtype=np.int64))
            starts, counts = starts[calm], counts[calm]
        for row, sender, place, count in zip(
            starts.tolist(), who[starts].tolist(), places[starts].tolist(), counts.tolist(), strict=True
        ):
            known = self._known.get(sender)
            if known is None:
                if len(self._known) < MOST_KNOWN:
                    self._known[sender] = _Known(place, sight(row))
            elif known.place == place:
                known.other = None
            else:
                self._elsewhere(sender, known, place, count, row, sight)

    def _elsewhere(
        self, sender: int, known: _Known, place: int, count: int, row: int, sight: Callable[[int], Sighting]
    ) -> None:
        if known.other is None or known.other[0] != place:
            known.other, known.count, known.seen = (place, sight(row)), 0, known.seen + 1
        known.count += count
        if known.count >= self._enough:
            known.place, known.since = known.other
            known.other = None
            moves = self._moves.setdefault(sender, [])
            moves.append(known.since)
            if len(moves) > MOST_MOVES:
                self._restless.add(sender)
        if known.seen > _MOST_SEEN:
            self._restless.add(sender)

    def moves(self) -> dict[int, list[Sighting]]:
        """The first frame behind each move, by who moved."""
        return {sender: moves for sender, moves in self._moves.items() if sender not in self._restless}

    def hardware(self, sender: int) -> set[int]:
        """The hardware addresses that somebody has, or had before a move."""
        known = self._known.get(sender)
        seen = [*self._moves.get(sender, []), *([known.since] if known else [])]
        return {sighting.hardware for sighting in seen if sighting.hardware is not None}
