"""The classic pcap format: a file header, then records of a fixed header and their frame."""

import struct
from dataclasses import dataclass

import numpy as np

from migrascope.store.pcap.chain import SHORT, follow
from migrascope.store.pcap.damage import MOST_BYTES, Damaged, NotRead
from migrascope.store.pcap.frames import Bytes, Frames, Ints, pieces, words

HEADER = 24
RECORD = 16
_MAGIC = {0xA1B2C3D4: 1000, 0xA1B23C4D: 1}


def is_classic(head: bytes) -> bool:
    """Whether a file that begins so is one of ours, in either byte order."""
    return any(struct.unpack(order + "I", head[:4])[0] in _MAGIC for order in "<>") if len(head) >= 4 else False


@dataclass
class Classic:
    """One file's own facts: byte order, how many ns its fractions of a second are, and its link type. damage: where
    there is no further record."""

    order: str
    fraction_ns: int
    link: int
    damage: Damaged | None = None
    _short: bool = True

    @classmethod
    def of(cls, head: bytes) -> "Classic":
        """NotRead where the header is cut."""
        if len(head) < HEADER:
            raise NotRead("its header is cut off")
        order = next(order for order in "<>" if struct.unpack(order + "I", head[:4])[0] in _MAGIC)
        magic, _, _, _, _, _, network = struct.unpack(order + "IHHiIII", head[:HEADER])
        return cls(order, _MAGIC[magic], network & 0xFFFF)

    def frames(self, data: bytearray, filled: int, position: int) -> tuple[Frames, int]:
        """(the whole records at the beginning of the first `filled` bytes, where the rest begins). position: where
        data begins in the file. They end where a length cannot be, and before a record of zeros: nothing was ever
        captured of a frame without a byte, but files that were not written to their end hold zeros."""
        buffer: Bytes = np.frombuffer(data, dtype=np.uint8)
        starts = self._by_guess(data, buffer, filled) if self._short else self._by_step(data, filled)
        if len(starts) > 1:
            self._short = bool(starts[-1] <= SHORT * len(starts))
        header = words(pieces(buffer, starts, RECORD), self.order)
        captured = header[:, 2].astype(np.int64)
        halves = header.view(np.uint64)
        bad = np.flatnonzero((captured > MOST_BYTES) | (halves[:, 0] | halves[:, 1] == 0))[:1].tolist()
        if bad:
            at, size = int(starts[bad[0]]), int(captured[bad[0]])
            self.damage = Damaged(position + at, f"a record of {size} bytes" if size else "zeros and no record")
            starts, header, captured = starts[: bad[0]], header[: bad[0]], captured[: bad[0]]
        rest = int(starts[-1] + RECORD + captured[-1]) if len(starts) else 0
        if rest > filled:
            rest = int(starts[-1])
            starts, header, captured = starts[:-1], header[:-1], captured[:-1]
        time = header[:, 0].astype(np.int64) * 10**9 + header[:, 1].astype(np.int64) * self.fraction_ns
        wire = header[:, 3].astype(np.int64)
        link = np.full(len(starts), self.link, dtype=np.int64)
        unknown = np.zeros(len(starts), dtype=np.uint8)
        return Frames(buffer, starts + RECORD, captured, wire, time, link, unknown), rest

    def lacks(self, left: bytes) -> int | None:
        """How many bytes are missing of the record that begins so; None where its length is not there."""
        if len(left) < RECORD:
            return None
        return RECORD + int(struct.unpack_from(self.order + "I", left, 8)[0]) - len(left)

    def _by_step(self, data: bytearray, filled: int) -> Ints:
        """Where the records begin, from one to the next."""
        read = struct.Struct(f"{self.order}I").unpack_from
        places: list[int] = []
        add, at, last = places.append, 0, filled - RECORD
        while at <= last:
            add(at)
            at += RECORD + read(data, at + 8)[0]
        return np.array(places, dtype=np.int64)

    def _by_guess(self, data: bytearray, buffer: Bytes, filled: int) -> Ints:
        """The same, by guessing every place with the upper half of the first record's seconds."""
        last = filled - RECORD
        if last < 0:
            return np.zeros(0, dtype=np.int64)
        upper = (2, 3) if self.order == "<" else (0, 1)
        guesses = np.flatnonzero(buffer[upper[0] : last + upper[0] + 1] == data[upper[0]])
        guesses = guesses[buffer[guesses + upper[1]] == data[upper[1]]]
        captured = words(pieces(buffer, guesses, RECORD), self.order)[:, 2].astype(np.int64)
        good = captured <= MOST_BYTES
        guesses, captured = guesses[good], captured[good]
        read = struct.Struct(f"{self.order}I").unpack_from
        return follow(guesses, guesses + RECORD + captured, last + 1, lambda at: at + RECORD + read(data, at + 8)[0])
