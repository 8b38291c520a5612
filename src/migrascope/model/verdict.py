"""What became of the guest in a trial, in one word, from the best to the worst."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Verdict = Literal["intact", "unknown", "service lost", "guest lost", "data lost", "two copies"]
VERDICTS: tuple[Verdict, ...] = ("intact", "unknown", "service lost", "guest lost", "data lost", "two copies")
"""From the best to the worst. What is known to be lost counts, whatever else is not known."""


@dataclass(frozen=True)
class Statement:
    """What one witness says. verdict: the worst that it saw, "intact" for nothing bad, "unknown" when it was not heard
    or not long enough. from_s, until_s: when, in seconds from the migration's request; None where there is no time."""

    witness: str
    verdict: Verdict
    text: str
    from_s: float | None = None
    until_s: float | None = None


@dataclass(frozen=True)
class Judgement:
    """The verdict on one trial: the worst that any witness saw, and what each of them says."""

    verdict: Verdict
    text: str
    statements: list[Statement] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)
