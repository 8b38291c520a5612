"""When a migration will end, as it is said while it runs: the end never moves later without a reason.

    forecast = NOT_BEGUN
    for sample in samples:
        forecast = forecast.then(sample, terms, known)

Pure functions, over what has been seen and nothing later. Each forecast comes from an estimate by QEMU's own rule for
the end (see `estimate` and `copying`) and from the forecast before it.
"""

from dataclasses import dataclass, replace

from migrascope.live.estimate import Basis, Estimate, Verdict, estimate, expected
from migrascope.live.experience import NOTHING, Known
from migrascope.live.history import History
from migrascope.live.sample import OVER, Sample
from migrascope.live.terms import Terms
from migrascope.model.units import human

MOVED = 0.03
"""Change of speed, dirty rate or data, as a share, that is a reason to move the end later."""


@dataclass(frozen=True)
class Forecast:
    """What is said of the end at_s. end_s, low_s, high_s: seconds since the request, None where unknown (of high_s:
    open). why: why the end was moved later the last time, or why none is known; empty where neither is so."""

    at_s: float
    verdict: Verdict = "unknown"
    end_s: float | None = None
    low_s: float | None = None
    high_s: float | None = None
    why: str = ""
    basis: Basis | None = None
    history: History | None = None

    def left_s(self, now_s: float) -> float | None:
        """Seconds from now_s to the end; None where none is known."""
        return max(0.0, self.end_s - now_s) if self.end_s is not None else None

    def then(self, sample: Sample, terms: Terms, known: Known = NOTHING) -> "Forecast":
        """What is said with one more sample."""
        history = self.history.then(sample) if self.history is not None else History.of(sample)
        return self.on(history, terms, known)

    def on(self, history: History, terms: Terms, known: Known = NOTHING) -> "Forecast":
        """What is said with a history that has grown by any number of samples."""
        if history.last.state in OVER:
            return replace(self, at_s=history.last.at_s, history=history)
        return self._moved(estimate(history, terms, known), history)

    def _moved(self, fresh: Estimate, history: History) -> "Forecast":
        at_s = history.last.at_s
        new = _said(fresh, at_s, history)
        kept = replace(self._within(fresh), at_s=at_s, history=history)
        if self.verdict == "never" and fresh.end_s is None:
            return kept
        if self.end_s is None or fresh.verdict == "never" or fresh.basis is None:
            return new
        why = _worse(self.basis, fresh.basis)
        if fresh.end_s is None:
            return replace(new, why=why or fresh.why) if why or at_s >= self.end_s else kept
        if fresh.end_s <= self.end_s:
            return new
        if not why and at_s < self.end_s:
            return kept
        return replace(
            new, why="; ".join(filter(None, (why or "it takes longer than its rounds and rates say", fresh.why)))
        )

    def _within(self, fresh: Estimate) -> "Forecast":
        """This end, in the interval that is known by now."""
        if self.end_s is None or fresh.low_s is None:
            return self
        high_s = max(self.end_s, fresh.high_s) if fresh.high_s is not None else None
        return replace(self, low_s=min(self.end_s, fresh.low_s), high_s=high_s)


NOT_BEGUN = Forecast(0.0)


def at_request(terms: Terms, known: Known) -> Forecast:
    """What is said before the first sample, from earlier trials alone."""
    return _said(expected(terms, known), 0.0, None)


def _said(fresh: Estimate, at_s: float, history: History | None) -> Forecast:
    return Forecast(at_s, fresh.verdict, fresh.end_s, fresh.low_s, fresh.high_s, fresh.why, fresh.basis, history)


def _worse(old: Basis | None, new: Basis | None) -> str:
    """Why the end is later now than it was: what has become worse since it was said; empty where nothing has."""
    if new is None:
        return ""
    if old is None:
        return f"it sends {human(new.speed_Bps, 'B/s')}"
    reasons = []
    if new.round > old.round:
        reasons.append(f"round {new.round} began with {human(new.begins_with, 'B')} to send")
    if new.dirty_Bps > (1 + MOVED) * old.dirty_Bps:
        reasons.append(f"dirty rate up from {human(old.dirty_Bps, 'B/s')} to {human(new.dirty_Bps, 'B/s')}")
    if new.speed_Bps < (1 - MOVED) * old.speed_Bps:
        reasons.append(f"slower: {human(new.speed_Bps, 'B/s')} instead of {human(old.speed_Bps, 'B/s')}")
    if new.held > (1 + MOVED) * old.held > 0:
        reasons.append(f"more of its memory holds something: {human(new.held, 'B')}, not {human(old.held, 'B')}")
    return "; ".join(reasons)
