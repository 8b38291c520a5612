"""Stretches of equal numbers in a row."""

import numpy as np

from migrascope.store.pcap.frames import Ints


def stretches(keys: Ints) -> list[tuple[int, int]]:
    """[begin, end) of each stretch of equal keys; none of nothing. Keys are not negative."""
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    return list(zip(starts.tolist(), [*starts[1:].tolist(), len(keys)], strict=False))
