"""What was checked of a guest after its migration."""

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["pass", "fail", "unknown"]


@dataclass(frozen=True)
class PostCheck:
    """One check of three values. evidence: what was found, in words."""

    verdict: Outcome
    evidence: str
