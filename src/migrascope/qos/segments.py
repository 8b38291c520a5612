"""TCP segments of a batch, and what each of them is."""

from dataclasses import dataclass

import numpy as np

from migrascope.qos.match import Answers
from migrascope.store.pcap.frames import Bytes, Ints
from migrascope.store.pcap.layers import Bools, Stamps


@dataclass(frozen=True, slots=True)
class Segments:
    """The TCP segments of a batch, in its order: raw numbers of 32 bits, flags, window, bytes carried, time stamps, and
    which are the first fragment of a packet, so that they carry more than is said; None where none is."""

    seq: Ints
    ack: Ints
    flags: Bytes
    window: Ints
    length: Ints
    stamps: Stamps
    parted: Bools | None = None

    def having(self, bit: int) -> Bools:
        """Which have a flag."""
        return np.asarray((self.flags & bit) != 0, dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class Marks:
    """What each segment is. again: sent again (fast and spurious included); reordered; gaps: what came before it is not
    in the capture; duplicates: an acknowledgement that repeats the last one. trips: round trips, by the row of their
    answer."""

    data: Bools
    again: Bools
    reordered: Bools
    gaps: Bools
    duplicates: Bools
    trips: Answers
