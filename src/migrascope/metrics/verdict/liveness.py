"""The liveness service: one counter and one chain of hashes mean one guest; two of a boot mean two copies."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from migrascope.metrics.verdict.spans import Times
from migrascope.model.verdict import Statement
from migrascope.model.witness import chained

WITNESS = "liveness"


class Answer(NamedTuple):
    """One answer of /alive, and when it was asked for and came (ns)."""

    asked_ns: int
    answered_ns: int
    request: str
    boot: str
    counter: int
    hash: str


def alive(answers: Sequence[Answer], times: Times) -> Statement:
    """Whether one guest answered, and the same one all the time."""
    odd = sorted([*_forks(answers), *_back(answers), *_returned(answers)])
    if odd:
        span = odd[0][0], odd[-1][0]
        words = f"{odd[0][1]}, {times.said(span[0])}" + (f"; {len(odd)} such" if len(odd) > 1 else "")
        return times.statement(WITNESS, "two copies", words, span)
    boots = _boots(answers)
    if len(boots) > 1:
        first = boots[1]
        words = f"the guest restarted: boot id {first.boot} instead of {boots[0].boot}, {times.said(first.answered_ns)}"
        return times.statement(WITNESS, "guest lost", words, (first.answered_ns, first.answered_ns))
    if not answers:
        return Statement(WITNESS, "unknown", "the liveness service never answered")
    if reason := times.unheard(answer.answered_ns for answer in answers):
        return Statement(WITNESS, "unknown", f"{len(answers)} answers; {reason}")
    return Statement(WITNESS, "intact", f"{len(answers)} answers of one boot, one counter and one chain of hashes")


def _boots(answers: Sequence[Answer]) -> list[Answer]:
    """The first answer of each boot."""
    first: dict[str, Answer] = {}
    for answer in sorted(answers, key=lambda answer: answer.answered_ns):
        first.setdefault(answer.boot, answer)
    return list(first.values())


def _forks(answers: Sequence[Answer]) -> Iterator[tuple[int, str]]:
    """Counters with two contents, and neighbours of which one does not follow from the other."""
    seen: dict[tuple[str, int], Answer] = {}
    for answer in sorted(answers, key=lambda answer: answer.answered_ns):
        other = seen.setdefault((answer.boot, answer.counter), answer)
        if (other.request, other.hash) != (answer.request, answer.hash):
            yield answer.answered_ns, f"counter {answer.counter} was given to two requests"
    for (boot, counter), answer in seen.items():
        before = seen.get((boot, counter - 1))
        if before is not None and chained(before.hash, answer.request) != answer.hash:
            at = max(before.answered_ns, answer.answered_ns)
            yield at, f"the hash of counter {counter} does not follow from that of {counter - 1}"


def _back(answers: Sequence[Answer]) -> Iterator[tuple[int, str]]:
    """Answers whose counter is no higher than one that had come before they were asked for."""
    highest: dict[str, int] = {}
    waiting = sorted(answers, key=lambda answer: answer.answered_ns)
    come = 0
    for answer in sorted(answers, key=lambda answer: answer.asked_ns):
        while come < len(waiting) and waiting[come].answered_ns < answer.asked_ns:
            earlier = waiting[come]
            highest[earlier.boot] = max(earlier.counter, highest.get(earlier.boot, 0))
            come += 1
        if answer.counter < highest.get(answer.boot, 0):
            yield answer.answered_ns, f"the counter went back from {highest[answer.boot]} to {answer.counter}"


def _returned(answers: Sequence[Answer]) -> Iterator[tuple[int, str]]:
    """Answers of a boot that were asked for after a later boot had answered."""
    boots = _boots(answers)
    for answer in answers:
        later = [first for first in boots[1:] if first.answered_ns < answer.asked_ns and first.boot != answer.boot]
        own = next(first for first in boots if first.boot == answer.boot)
        if any(first.answered_ns > own.answered_ns for first in later):
            yield answer.answered_ns, f"boot {answer.boot} answered again after another had"
