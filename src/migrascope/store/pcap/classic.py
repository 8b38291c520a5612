"""The classic pcap format: a file header, then records of a fixed header and their frame."""

import struct
from dataclasses import dataclass

import numpy as np

from migrascope.store.pcap.damage import MOST_BYTES, Damaged, NotRead
from migrascope.store.pcap.frames import Bytes, Frames, pieces, words

HEADER = 24
RECORD = 16
_MAGIC = {0xA1B2C3D4: 1000, 0xA1B23C4D: 1}


def is_classic(head: bytes) -> bool:
    """Whether a file that begins so is one of ours, in either byte order."""
    return any(struct.unpack(order + "I", head[:4])[0] in _MAGIC for order in "<>") if len(head) >= 4 else False


@dataclass(frozen=True)
class Classic:
    """One file's own facts: byte order, how many ns its fractions of a second are, and its link type."""

    order: str
    fraction_ns: int
    link: int

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
        data begins in the file. Damaged where a length cannot be."""
        read = struct.Struct(f"{self.order}I").unpack_from
        places: list[int] = []
        at, last = 0, filled - RECORD
        add = places.append
        while at <= last:
            add(at)
            at += RECORD + read(data, at + 8)[0]
        buffer: Bytes = np.frombuffer(data, dtype=np.uint8)
        starts = np.array(places, dtype=np.int64)
        header = words(pieces(buffer, starts, RECORD), self.order)
        captured = header[:, 2].astype(np.int64)
        if len(captured) and captured.max() > MOST_BYTES:
            bad = int(np.argmax(captured > MOST_BYTES))
            raise Damaged(position + places[bad], f"a record of {captured[bad]} bytes")
        rest = at
        if at > filled:
            starts, header, captured = starts[:-1], header[:-1], captured[:-1]
            rest = places[-1]
        time = header[:, 0].astype(np.int64) * 10**9 + header[:, 1].astype(np.int64) * self.fraction_ns
        wire = header[:, 3].astype(np.int64)
        link = np.full(len(starts), self.link, dtype=np.int64)
        unknown = np.zeros(len(starts), dtype=np.uint8)
        return Frames(buffer, starts + RECORD, captured, wire, time, link, unknown), rest
