"""The liveness service: one counter and one chain of hashes mean one guest; two of a boot mean two copies."""

from collections.abc import Iterator, Sequence
from operator import attrgetter
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


_ASKED, _CAME = attrgetter("asked_ns"), attrgetter("answered_ns")


def alive(answers: Sequence[Answer], times: Times) -> Statement:
    """Whether one guest answered, and the same one all the time."""
    come = sorted(answers, key=_CAME)
    back, sure = _back(answers, come), _linked(answers)
    unsure = {answer for answer, _ in back if answer not in sure}
    gone_back = [(answer.answered_ns, words) for answer, words in back if answer in unsure and len(unsure) > 1]
    boots = _boots(come)
    odd = sorted([*_forks(come), *gone_back, *_returned(answers, boots)])
    if odd:
        span = odd[0][0], odd[-1][0]
        words = f"{odd[0][1]}, {times.said(span[0])}" + (f"; {len(odd)} such" if len(odd) > 1 else "")
        return times.statement(WITNESS, "two copies", words, span)
    if len(boots) > 1:
        first = boots[1]
        words = f"the guest restarted: boot id {first.boot} instead of {boots[0].boot}, {times.said(first.answered_ns)}"
        return times.statement(WITNESS, "guest lost", words, (first.answered_ns, first.answered_ns))
    if not answers:
        return Statement(WITNESS, "unknown", "the liveness service never answered")
    if back:
        words = f"{back[0][1]}, but by its stamps alone: the chain of hashes does not contradict"
        return Statement(WITNESS, "unknown", words)
    if any(answer.answered_ns < answer.asked_ns for answer in answers):
        return Statement(WITNESS, "unknown", "answers came before they were asked for: the clock went back")
    if reason := times.unheard(answer.answered_ns for answer in answers):
        return Statement(WITNESS, "unknown", f"{len(answers)} answers; {reason}")
    if times.unheard(answer.answered_ns for answer in sure):
        return Statement(
            WITNESS, "unknown", "no two answers with counters in a row, before and after: no chain to check"
        )
    return Statement(WITNESS, "intact", f"{len(answers)} answers of one boot, one counter and one chain of hashes")


def _boots(come: Sequence[Answer]) -> list[Answer]:
    """The first answer of each boot. come: all, in the order in which they came."""
    first: dict[str, Answer] = {}
    for answer in come:
        first.setdefault(answer.boot, answer)
    return list(first.values())


def _forks(come: Sequence[Answer]) -> Iterator[tuple[int, str]]:
    """Counters with two contents, and neighbours of which one does not follow from the other. come: the answers in the
    order in which they came."""
    seen: dict[tuple[str, int], Answer] = {}
    for answer in come:
        other = seen.setdefault((answer.boot, answer.counter), answer)
        if (other.request, other.hash) != (answer.request, answer.hash):
            yield answer.answered_ns, f"counter {answer.counter} was given to two requests"
    for (boot, counter), answer in seen.items():
        before = seen.get((boot, counter - 1))
        if before is not None and chained(before.hash, answer.request) != answer.hash:
            at = max(before.answered_ns, answer.answered_ns)
            yield at, f"the hash of counter {counter} does not follow from that of {counter - 1}"


def _linked(answers: Sequence[Answer]) -> set[Answer]:
    """Answers that follow from the one before, or from which the next follows: those of a single chain."""
    at = {(answer.boot, answer.counter): answer for answer in answers}
    pairs = ((at.get((boot, counter - 1)), answer) for (boot, counter), answer in at.items())
    linked = (pair for before, now in pairs if before and chained(before.hash, now.request) == now.hash
              for pair in (before, now))  # fmt: skip
    return set(linked)


def _back(answers: Sequence[Answer], come: Sequence[Answer]) -> list[tuple[Answer, str]]:
    """Answers whose counter is lower than one that had come before they were asked for. come: the same in the order in
    which they came."""
    found = []
    highest: dict[str, int] = {}
    at = 0
    for answer in sorted(answers, key=_ASKED):
        while at < len(come) and come[at].answered_ns < answer.asked_ns:
            earlier = come[at]
            highest[earlier.boot] = max(earlier.counter, highest.get(earlier.boot, 0))
            at += 1
        if answer.counter < highest.get(answer.boot, 0):
            found.append((answer, f"the counter went back from {highest[answer.boot]} to {answer.counter}"))
    return found


def _returned(answers: Sequence[Answer], boots: Sequence[Answer]) -> Iterator[tuple[int, str]]:
    """Answers of a boot that were asked for after a later boot had answered. boots: the first answer of each."""
    for answer in answers if len(boots) > 1 else ():
        later = [first for first in boots[1:] if first.answered_ns < answer.asked_ns and first.boot != answer.boot]
        own = next(first for first in boots if first.boot == answer.boot)
        if any(first.answered_ns > own.answered_ns for first in later):
            yield answer.answered_ns, f"boot {answer.boot} answered again after another had"
