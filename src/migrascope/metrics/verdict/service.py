"""Memory, file system and website: what a visitor and an examiner find afterwards."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

from migrascope.metrics.verdict.spans import NS, Times
from migrascope.model.postcheck import PostCheck
from migrascope.model.units import number_of
from migrascope.model.verdict import Statement, Verdict

WEBSITE, MEMORY, CONSOLE, HEARTBEAT, INCARNATION = "website", "memory", "console", "heartbeat", "incarnation"
FILE_SYSTEM, FILES, PAGES = "file system", "files", "pages"
NAMED_AT_MOST = 5
FEWEST_ASKED = 3
"""Minimum number of visits that waited in a silence for it to be an outage: a healthy service fails one now and then,
and the stamp of another may be wrong."""
_ERRORS = 1 | 2 | 4


class Visit(NamedTuple):
    """A visit: when it was due and, if it was answered whole, when (ns; else 0)."""

    due_ns: int
    answered_ns: int


def website(visits: Sequence[Visit], outage_s: float, times: Times) -> Statement:
    """Whether visits were answered without a silence longer than outage_s, and again after one. Where nobody
    came, nobody was refused: a silence without visits at the usual rate begins with the first of them. A visit or
    two without an answer make no outage."""
    if not visits:
        return Statement(WEBSITE, "unknown", "nobody visited the website")
    answered = sorted(visit.answered_ns for visit in visits if visit.answered_ns)
    due = sorted({visit.due_ns for visit in visits})
    edges = [due[0], *answered, max([due[-1], *answered])]
    (start, end), asked = _longest(visits, due, list(pairwise(edges)))
    silence = (end - start) / NS
    again = bool(answered) and end <= answered[-1]
    said = f"recovered after {silence:.1f} s" if again else f"no answer for the last {silence:.1f} s"
    if silence > outage_s and asked < FEWEST_ASKED:
        return Statement(WEBSITE, "unknown", f"{said}, of {number_of('visit', asked)} alone, {times.said(start)}")
    if silence > outage_s:
        return times.statement(WEBSITE, "service lost", f"{said}, silent {times.said(start)}", (start, end))
    if any(0 < visit.answered_ns < visit.due_ns for visit in visits):
        return Statement(WEBSITE, "unknown", "visits were answered before they were due: the clock went back")
    if (unvisited := max((b - a for a, b in pairwise(due)), default=0) / NS) > outage_s:
        return Statement(WEBSITE, "unknown", f"nobody visited the website for {unvisited:.1f} s")
    if reason := times.unheard(answered):
        return Statement(WEBSITE, "unknown", f"visits answered: {reason}")
    words = f"{len(answered)} of {len(visits)} visits answered, longest silence {silence:.2f} s"
    return times.statement(WEBSITE, "intact", words, (start, end))


Span = tuple[int, int]


def _longest(visits: Sequence[Visit], due: Sequence[int], gaps: Sequence[Span]) -> tuple[Span, int]:
    """The longest part of a time without answers in which visits waited for one, and how many did."""
    found, asked = (gaps[0][0], gaps[0][0]), 0
    usual = 2 * median([b - a for a, b in pairwise(due)] or [0])
    for start, end in sorted(gaps, key=lambda gap: gap[0] - gap[1]):
        if end - start <= found[1] - found[0]:
            break
        waiting = sum(visit.due_ns < start and visit.answered_ns >= end for visit in visits)
        first, last = bisect_left(due, start), bisect_right(due, end)
        came = due[first] if first < last else end
        begin = start if waiting or came - start <= usual else came
        if end - begin > found[1] - found[0]:
            found, asked = (begin, end), waiting + last - first
    return found, asked


def unread(examined: Mapping[str, Any] | None) -> bool:
    """Whether nothing at all was read from a volume that should hold files: then debugfs has failed, and what is not
    there says nothing."""
    return examined is not None and bool(examined.get("expected")) and not examined.get("site")


def _checked(code: int, text: str) -> Statement:
    """What e2fsck found, by its exit code: of its bits only 1, 2 and 4 are errors of the file system; the others say
    that it could not do its work."""
    if not code:
        return Statement(FILE_SYSTEM, "intact", "clean")
    words = f"({code}): {' | '.join(text.splitlines()[-3:])}"
    if code > 0 and code & _ERRORS:
        return Statement(FILE_SYSTEM, "data lost", f"e2fsck found errors {words}")
    return Statement(FILE_SYSTEM, "unknown", f"e2fsck could not check the file system {words}")


_PROOFS: dict[str, tuple[str, Verdict]] = {
    "memory": (MEMORY, "data lost"),
    "panic": (CONSOLE, "guest lost"),
    "heartbeat": (HEARTBEAT, "guest lost"),
    "incarnation": (INCARNATION, "guest lost"),
    "site": (PAGES, "data lost"),
}


def proved(proof: Mapping[str, PostCheck]) -> list[Statement]:
    """The checks that were made in the trial itself: memory witness, console, boot id, pages as visitors get them."""
    found: list[Statement] = []
    for name, (witness, bad) in _PROOFS.items():
        if name not in proof:
            found.append(Statement(witness, "unknown", "not checked"))
            continue
        verdicts: dict[str, Verdict] = {"pass": "intact", "fail": bad}
        found.append(Statement(witness, verdicts.get(proof[name].verdict, "unknown"), proof[name].evidence))
    return found


def volume(examined: Mapping[str, Any] | None) -> list[Statement]:
    """The volume as it was read offline: {"fsck": {"code", "text"}, "site": {path: SHA-256}, "expected": the same}, or
    {"error": why it was not read}.

    A journal has been replayed before, as a mount would.
    """
    if examined is None or "error" in examined:
        why = f": {examined['error']}" if examined else ""
        return [Statement(name, "unknown", f"the volume was not read{why}") for name in (FILE_SYSTEM, FILES)]
    checked = _checked(examined["fsck"]["code"], examined["fsck"]["text"].strip())
    expected, found = examined["expected"], examined["site"]
    if not expected:
        return [checked, Statement(FILES, "unknown", "the website's checksums are not known")]
    if unread(examined):
        return [checked, Statement(FILES, "unknown", "no file could be read from the volume")]
    wrong = sorted(path for path, checksum in expected.items() if found.get(path) != checksum)
    if wrong:
        named = ", ".join(wrong[:NAMED_AT_MOST]) + (", ..." if len(wrong) > NAMED_AT_MOST else "")
        return [checked, Statement(FILES, "data lost", f"{len(wrong)} files are not as they were: {named}")]
    return [checked, Statement(FILES, "intact", f"{len(expected)} files of the website have their checksums")]
