"""Predictions of a guest of which less is known than of those that were fitted: bounds of what it holds and writes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from migrascope.predict.learnt import Predicts
from migrascope.predict.predictor import Figure, Interval, Prediction
from migrascope.predict.request import Request

BOUNDED: tuple[Figure, ...] = ("time_s", "data_bytes")
"""What is the less the less the guest holds."""


@dataclass(frozen=True)
class Loosely:
    """What predicts, where the requested guest holds at most what the request says, and its rates may be off by a share
    of error, None for not at all. Intervals reach from the lower end where it writes as much less to the upper end
    where it writes more; of time and data the lower end is not known, and 0. The pause is that of a guest that holds as
    much: it changes little with that, and either way. It ends as likely as in the mean of these cases."""

    predictor: Predicts
    error: float | None

    def predict(self, request: Request) -> Prediction:
        """NotPredicted where one of the cases is of another kind than what was fitted."""
        likeliest = self.predictor.predict(request)
        cases = [likeliest, *(self._written(request, 1 + self.error) if self.error else ())]
        intervals = {figure: _around(figure, cases) for figure in likeliest.intervals}
        found = {figure: interval for figure, interval in intervals.items() if interval is not None}
        why = f"with {1 + (self.error or 0):.1f} times the rates, which so few pages leave open, it would not end"
        whys = {**likeliest.whys, **{figure: why for figure in intervals if figure not in found}}
        return Prediction(likeliest.course, [course for case in cases for course in case.courses], found, whys)

    def _written(self, request: Request, times: float) -> list[Prediction]:
        """Where it writes so many times less, and more."""
        guest = request.guest
        return [
            self.predictor.predict(replace(request, guest=replace(guest, dirtying=guest.dirtying.times(share))))
            for share in (1 / times, times)
        ]


def _around(figure: Figure, cases: Sequence[Prediction]) -> Interval | None:
    """What holds the intervals of all cases; None where one has none, since it does not end."""
    intervals = [case.intervals.get(figure) for case in cases]
    if any(interval is None for interval in intervals):
        return None
    low = min(interval.low for interval in intervals if interval is not None)
    high = max(interval.high for interval in intervals if interval is not None)
    return Interval(0.0 if figure in BOUNDED else low, high)
