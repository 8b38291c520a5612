"""Signs that a machine moved, or was started anew, as they show from outside, and what they say together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["clock-stopped", "ttl", "mac", "announced", "same-boot", "new-boot", "reset"]
"""The guest's clock stood still; segments came over another number of routers; the address has another MAC, or it was
announced by RARP or gratuitous ARP; the guest is of the same boot, or of another; the kept connection was reset."""
Verdict = Literal["moved", "restarted", "no sign", "unknown"]
_WORDS: dict[Kind, str] = {
    "clock-stopped": "its clock stood still",
    "ttl": "its segments take another path",
    "mac": "its address has another MAC",
    "announced": "its address was announced anew",
    "same-boot": "it has not been started anew",
    "new-boot": "it has another boot id",
    "reset": "the kept connection was reset",
}
_OF_A_MOVE: tuple[Kind, ...] = ("clock-stopped", "ttl", "mac", "announced")


@dataclass(frozen=True)
class Sign:
    """What was seen, when (mono ns), and in which words more exactly; empty for none."""

    kind: Kind
    mono_ns: int
    note: str = ""


@dataclass(frozen=True)
class Judgement:
    """What happened to the machine, and why that is said."""

    verdict: Verdict
    why: str


def judge(signs: Sequence[Sign], unseen: Sequence[str]) -> Judgement:
    """What the signs of a blackout say. unseen: where there was no way of looking, why of each.

    A boot id decides, for it is the guest's own. Without one, a connection that was reset says that the guest was
    started anew, whatever else is seen: a machine that is started elsewhere has another path, too. A guest that moved
    keeps its connections. Where nothing was seen and nobody could look, nothing is known.
    """
    kinds = {sign.kind for sign in signs}
    moves = [_words(sign) for sign in signs if sign.kind in _OF_A_MOVE]
    if "new-boot" in kinds or ("reset" in kinds and "same-boot" not in kinds):
        return Judgement("restarted", "; ".join(_words(sign) for sign in signs if sign.kind in ("new-boot", "reset")))
    if moves:
        return Judgement("moved", "; ".join(moves))
    if unseen and not kinds:
        return Judgement("unknown", "; ".join(dict.fromkeys(unseen)))
    return Judgement("no sign", "; ".join(_words(sign) for sign in signs) or "nothing about it has changed")


def _words(sign: Sign) -> str:
    return f"{_WORDS[sign.kind]}{f' ({sign.note})' if sign.note else ''}"
