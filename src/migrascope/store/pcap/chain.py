"""Where records of different lengths begin, many at once.

Places that look like a beginning are guessed, and those count that the chain of lengths from the first record meets. A
wrong guess is never met, and a record that was not guessed is stepped over: the result is that of going from one to the
next.
"""

from collections.abc import Callable

import numpy as np

from migrascope.store.pcap.frames import Ints

SHORT = 512
"""Up to this mean length of records, bytes, guessing is the faster way."""


def follow(guesses: Ints, after: Ints, end: int, step: Callable[[int], int]) -> Ints:
    """The places of the chain that begins at 0 and stays below `end`. guesses: rising; after: where the record behind
    each would begin; step: the same of any place, or the place itself where there can be no record."""
    breaks = np.append(np.flatnonzero(after[:-1] != guesses[1:]), len(guesses) - 1)
    found: list[Ints] = []
    place = 0
    while place < end:
        first = int(np.searchsorted(guesses, place))
        if first < len(guesses) and guesses[first] == place:
            last = int(breaks[np.searchsorted(breaks, first)])
            found.append(guesses[first : last + 1])
            place = int(after[last])
        else:
            found.append(np.array([place], dtype=np.int64))
            following = step(place)
            if following <= place:
                break
            place = following
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)
