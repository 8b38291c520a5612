"""Series put on bins without losing an extreme."""

import math

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]


def envelope(stamps: Numbers, values: Numbers, edges: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """(least, lower median, greatest) of the values in each bin [edge, next edge); NaN in an empty one. No extreme
    between the first edge and the last is lost."""
    count = len(edges) - 1
    low, mid, high = (np.full(count, np.nan) for _ in range(3))
    bins = np.searchsorted(edges, stamps, side="right") - 1
    inside = (bins >= 0) & (bins < count) & ~np.isnan(values)
    bins, values = bins[inside], values[inside]
    order = np.lexsort((values, bins))
    bins, values = bins[order], values[order]
    there, first, many = np.unique(bins, return_index=True, return_counts=True)
    low[there], mid[there], high[there] = values[first], values[first + (many - 1) // 2], values[first + many - 1]
    return low, mid, high


def cover(base: Numbers, values: Numbers, edges: Numbers) -> tuple[Numbers, Numbers]:
    """(least, greatest) of the base bins that overlap each bin of `edges`: wider bins keep the extremes, narrower ones
    repeat them. NaN where no base bin holds a value."""
    if not len(values):
        nothing = np.full(len(edges) - 1, np.nan)
        return nothing, nothing.copy()
    first = np.clip(np.searchsorted(base, edges[:-1] + 1e-9, side="right") - 1, 0, len(values) - 1)
    last = np.clip(np.searchsorted(base, edges[1:] - 1e-9, side="right") - 1, 0, len(values) - 1)
    outside = (edges[1:] <= base[0]) | (edges[:-1] >= base[-1])
    low, high = np.full(len(first), np.nan), np.full(len(first), np.nan)
    for at, (begin, end, out) in enumerate(zip(first, last, outside, strict=True)):
        part = values[begin : end + 1]
        part = part[~np.isnan(part)]
        if len(part) and not out:
            low[at], high[at] = part.min(), part.max()
    return low, high


def bin_edges(start_s: float, end_s: float, step_s: float) -> Numbers:
    """Edges of whole steps that cover the stretch."""
    count = max(1, math.ceil((end_s - start_s) / step_s - 1e-9))
    return start_s + step_s * np.arange(count + 1, dtype=np.float64)


def ratio(stamps: Numbers, hits: npt.NDArray[np.bool_], edges: Numbers) -> Numbers:
    """The share of the stamps in each bin that are hits; NaN in a bin without stamps."""
    total = np.histogram(stamps, edges)[0].astype(float)
    share = np.full(len(edges) - 1, np.nan)
    np.divide(np.histogram(stamps[hits], edges)[0], total, out=share, where=total > 0)
    return share
