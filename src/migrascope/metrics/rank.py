"""The value at a rank of what was measured."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def at_rank(values: NDArray[np.integer[Any]] | NDArray[np.floating[Any]], rank: float) -> float:
    """The percentile, by linear interpolation between the two nearest: numpy.percentile's, to the last bit, in a tenth
    of its time, most of which goes into other axes and methods; a trial has hundreds. rank: 0 to 100. IndexError
    without a value."""
    last = len(values) - 1
    place = last * (rank / 100)
    low = int(place)
    high = min(low + 1, last)
    ordered = np.partition(values, (low, high))
    below, above, share = ordered[low].item(), ordered[high].item(), place - low
    if share < 0.5:
        return float(below + (above - below) * share)
    return float(above - (above - below) * (1 - share))
