"""A batch of captured frames as columns over one buffer."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]
PADDING = 128
"""So many zero bytes follow the last frame in its buffer: headers are taken out in pieces of fixed length."""
UNKNOWN, INWARD, OUTWARD = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Frames:
    """n frames in the order of the file, valid until the next batch is read. at: where each begins in data; captured,
    wire: its bytes there and as it was on the wire; time_ns: since 1970; link: its link type (LINKTYPE_*); direction:
    UNKNOWN, INWARD or OUTWARD, as seen from the interface; port: the number of the interface that saw it in the whole
    file, whose names are in port_names; None where there has been one only."""

    data: Bytes
    at: Ints
    captured: Ints
    wire: Ints
    time_ns: Ints
    link: Ints
    direction: Bytes
    port: Ints | None = None
    port_names: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.at)


def pieces(data: Bytes, at: Ints, width: int) -> Bytes:
    """`width` bytes from each place, shape (n, width). One copy of so many bytes for each place: a gather of single
    bytes takes ten times as long."""
    count = max(1, len(data) - width + 1)
    windows = np.ndarray((count,), dtype=f"V{width}", buffer=data, strides=(1,))
    return windows[np.minimum(at, count - 1)].view(np.uint8).reshape(-1, width)


def words(block: Bytes, order: str = ">") -> NDArray[np.uint32]:
    """An (n, 4 m) block of bytes as (n, m) numbers of 32 bits."""
    return block.view(f"{order}u4")


def column(block: Bytes, at: int, width: int, order: str = ">") -> Ints:
    """The number of `width` bytes (2 or 4) at a place of each row. Place and row length are multiples of the width."""
    return np.ascontiguousarray(block).view(f"{order}u{width}")[:, at // width].astype(np.int64)
