"""The ends of all flows: who sent what, by address."""

import ipaddress

import numpy as np

from migrascope.qos.flows import Flow
from migrascope.qos.stretches import in_order
from migrascope.store.pcap.frames import Ints


class Ends:
    """Addresses in the order in which they came. names, flows: of each its address, and the numbers of its flows."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.flows: list[set[int]] = []
        self._numbers: dict[bytes, int] = {}
        self._of: Ints = np.zeros(0, dtype=np.int64)
        self._filled = 0

    def by_sender(self, known: list[Flow], direction: Ints, rows: Ints, count: int) -> tuple[Ints, Ints]:
        """(senders, rows) of a batch by sender, those of each in the order of the file. count: of rows there are."""
        if 2 * len(known) > len(self._of):
            more = max(2 * len(known), 2 * len(self._of)) - len(self._of)
            self._of = np.concatenate((self._of, np.zeros(more, dtype=np.int64)))
        for number in range(self._filled, len(known)):
            for side, (packed, _) in enumerate(known[number].ends):
                end = self._numbers.setdefault(packed, len(self.names))
                if end == len(self.names):
                    self.names.append(str(ipaddress.ip_address(packed)))
                    self.flows.append(set())
                self.flows[end].add(number)
                self._of[2 * number + side] = end
        self._filled = len(known)
        senders = np.full(count, -1, dtype=np.int64)
        senders[rows] = self._of[direction]
        there = np.flatnonzero(senders >= 0)
        there = there[in_order(senders[there])]
        return senders[there], there
