"""Histograms as Prometheus has them: cumulative buckets by upper edges that belong to them."""

from bisect import bisect_left
from collections.abc import Sequence

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.utils import floatToGoString


class Histogram:
    """Counts of values by upper edges, in base units, and their sum."""

    def __init__(self, edges: Sequence[float]) -> None:
        self._edges, self._bins, self._sum = edges, [0] * (len(edges) + 1), 0.0

    def add(self, value: float) -> None:
        """One more value."""
        self._bins[bisect_left(self._edges, value)] += 1
        self._sum += value

    def into(self, family: HistogramMetricFamily, labels: Sequence[str]) -> None:
        """Adds it to a family under these labels."""
        family.add_metric(labels, buckets(self._edges, self._bins), self._sum)


def buckets(edges: Sequence[float], bins: Sequence[int]) -> list[tuple[str, float]]:
    """(edge, how many values up to it) of counts by bin, one of which lies above the last edge."""
    found, total = [], 0
    for edge, count in zip([*edges, float("inf")], bins, strict=True):
        total += count
        found.append((str(floatToGoString(edge)), float(total)))  # type: ignore[no-untyped-call]
    return found
