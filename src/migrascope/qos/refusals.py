"""Packets of flows that somebody said are not delivered: ICMP's "destination unreachable"."""

from dataclasses import dataclass

import numpy as np

from migrascope.qos.flows import Flows
from migrascope.qos.twice import WITHIN_NS
from migrascope.store.pcap.frames import Ints
from migrascope.store.pcap.layers import Headers, address
from migrascope.store.pcap.unreachable import unreachable

MOST = 1 << 17
"""So many pairs of direction and refuser are kept."""
MOST_WORDS = 1 << 12
"""So many pairs of refuser and reason are kept; those of further ones are left out."""


@dataclass(slots=True)
class Refusal:
    """Of one direction: who said it, why, how often, and when first (ns since 1970); last: the identification of the
    last message, and its stamp."""

    by: str
    why: str
    count: int
    first_ns: int
    last: tuple[int, int]


class Refusals:
    """The refusals of a capture. words: who said it and why, by the number that `add` gives."""

    def __init__(self) -> None:
        self.words: list[tuple[str, str]] = []
        self._numbers: dict[tuple[str, str], int] = {}
        self._of: dict[int, dict[int, Refusal]] = {}
        self._kept = 0

    def add(self, headers: Headers, flows: Flows) -> tuple[Ints, Ints, Ints]:
        """(directions whose packets are refused, stamps, numbers of their words) of a batch, whose flows are known."""
        found = unreachable(headers)
        told: list[tuple[int, int, int]] = []
        if found is not None:
            for row, source, target, why in zip(
                found.rows.tolist(), found.source.tolist(), found.target.tolist(), found.reasons, strict=True
            ):
                direction = flows.direction(source, target, headers, row)
                number = None if direction is None else self._number(address(headers, row)[0], why)
                if direction is not None and number is not None:
                    time, ident = int(headers.frames.time_ns[row]), int(headers.ident[row])
                    if self._count(direction, number, time, ident if headers.version[row] == 4 else -1):
                        told.append((direction, time, number))
        columns = np.array(told, dtype=np.int64).reshape(-1, 3)
        return columns[:, 0], columns[:, 1], columns[:, 2]

    def of(self, direction: int) -> list[Refusal]:
        """What was said of the packets of one direction, in the order in which it was first said."""
        return list(self._of.get(direction, {}).values())

    def _number(self, by: str, why: str) -> int | None:
        if (by, why) not in self._numbers and len(self.words) < MOST_WORDS:
            self._numbers[by, why] = len(self.words)
            self.words.append((by, why))
        return self._numbers.get((by, why))

    def _count(self, direction: int, number: int, time: int, ident: int) -> bool:
        """Whether it is kept, and no message that the capture holds already."""
        mine = self._of.setdefault(direction, {})
        known = mine.get(number)
        if known is None:
            if self._kept >= MOST:
                return False
            self._kept += 1
            mine[number] = Refusal(*self.words[number], 1, time, (ident, time))
            return True
        again = ident >= 0 and known.last[0] == ident and abs(time - known.last[1]) <= WITHIN_NS
        known.last = (ident, time)
        known.count += not again
        return not again
