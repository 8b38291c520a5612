"""Stretches of equal numbers in a row."""

import numpy as np

from migrascope.store.pcap.frames import Ints

_FEW = 1 << 16


def begins(keys: Ints) -> Ints:
    """Where each stretch of equal keys begins."""
    new = np.ones(len(keys), dtype=np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=new[1:])
    return np.flatnonzero(new)


def stretches(keys: Ints) -> list[tuple[int, int]]:
    """[begin, end) of each stretch of equal keys; none of nothing. Keys are not negative."""
    starts = begins(keys)
    return list(zip(starts.tolist(), [*starts[1:].tolist(), len(keys)], strict=False))


def in_order(keys: Ints) -> Ints:
    """The stable order by keys that are not negative. Of small ones numpy counts, of others it has to compare."""
    few = len(keys) and int(keys.max()) < _FEW
    return np.asarray(np.argsort(keys.astype(np.uint16) if few else keys, kind="stable"), dtype=np.int64)
