"""Whether the downtime limit decided a trial's downtime, rather than what had to be moved."""

from collections.abc import Iterable

from migrascope.analysis.summary import TrialResult
from migrascope.model.measured import Measured
from migrascope.model.schedule import Factors

BINDS = 0.7
STOP_AND_COPY_S = 10.0
"""A limit from here on lets QEMU stop the guest at once: it is stop-and-copy in all but name."""


def limited(factors: Factors, metrics: dict[str, Measured]) -> bool | None:
    """Whether the reported downtime exceeds 0.7 of the limit; None where it was not reported."""
    reported = metrics["reported_downtime_s"].value
    return None if reported is None else reported > BINDS * factors.downtime_limit_s


def free_of_limit(results: Iterable[TrialResult]) -> list[TrialResult]:
    """The trials in which the limit is known not to have decided: the only ones to be pooled for downtime."""
    return [result for result in results if result.limited is False]


def limit_text(limit_s: float) -> str:
    """The limit for people, labelled where it means stop-and-copy."""
    text = f"{limit_s * 1000:g} ms" if limit_s < 1 else f"{limit_s:g} s"
    return f"{text} (stop-and-copy)" if limit_s >= STOP_AND_COPY_S else text
