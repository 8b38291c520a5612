"""What told the link of the guest after the switchover, and whether its router knew it, counted over dual-stack trials,
in sentences."""

from collections.abc import Sequence
from statistics import median

from migrascope.analysis.results import Finding, TrialResult
from migrascope.model.family import SECOND, key_of
from migrascope.model.schedule import Factors
from migrascope.model.units import human

_LOOKED_FOR = {
    "na": "unsolicited neighbour advertisements",
    "dad": "duplicate address detection",
    "ra": "router advertisements",
}
_WRONG = "router_neighbour.wrong_s"


def neighbourhood(good: Sequence[TrialResult]) -> list[Finding]:
    """A finding for each cell in whose trials it was looked for."""
    cells: dict[Factors, list[TrialResult]] = {}
    for result in good:
        if SECOND in result.facts.plan.get("families", []):
            cells.setdefault(result.facts.factors, []).append(result)
    found = []
    for factors, trials in cells.items():
        where = f" ({factors.label(list(cells))})" if len(cells) > 1 else ""
        sentences = [sentence for sentence in (_announced(trials), _router(trials)) if sentence]
        if sentences:
            text = f"After the switchover{where}: {' '.join(sentences)}"
            found.append(Finding("family", "pass", text, {"trials": len(trials)}))
    return found


def _announced(trials: list[TrialResult]) -> str:
    parts = []
    for kind, name in _LOOKED_FOR.items():
        frames = _values(trials, f"announced.frames.{kind}")
        if not frames:
            continue
        first = _values(trials, f"announced.{kind}_s")
        when = f", the first after {human(median(first), 's')} (median)" if first else ""
        parts.append(f"{name} in {_share(sum(count > 0 for count in frames), len(frames))}{when}")
    return f"{'; '.join(parts)}." if parts else ""


def _router(trials: list[TrialResult]) -> str:
    """0 s wrong: right at the stop, and from then on."""
    parts = []
    for name, key in (("IPv4", _WRONG), ("IPv6", key_of(_WRONG))):
        if wrong := _values(trials, key):
            worst = f", else wrong for up to {human(max(wrong), 's')}" if any(wrong) else ""
            parts.append(f"over {name} in {_share(wrong.count(0.0), len(wrong))}{worst}")
    return f"The router's entry of the guest was right from the stop on {'; '.join(parts)}." if parts else ""


def _share(count: int, of: int) -> str:
    return f"{count} of {of} trials"


def _values(trials: list[TrialResult], key: str) -> list[float]:
    found = [trial.metrics[key].value for trial in trials if key in trial.metrics]
    return [value for value in found if value is not None]
