"""The checker against healthy recordings of which a single row is missing, doubled or late: none reads worse than
unknown."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from histories import History

from migrascope.metrics.verdict.judge import Evidence, judge
from migrascope.metrics.verdict.spans import NS

SEEDS = range(300)
ROWS_SAMPLED = 1
"""So many rows of each healthy recording are spoilt in the unit tier, 300 in all; the soak tier spoils every one."""
LATE_NS = 3 * NS + NS // 2
STAMPS = {
    "arrivals": ("recv_ns",), "answers": ("asked_ns", "answered_ns"), "samples": ("asked_ns", "answered_ns"),
    "frames": ("from_ns", "until_ns"), "visits": ("due_ns", "answered_ns"),
}  # fmt: skip
"""The stamps of each kind of row: all of a row may come late, or the last of them alone."""


def _late(row: Any, names: Sequence[str]) -> Any:
    return row._replace(**{name: getattr(row, name) + LATE_NS for name in names if getattr(row, name)})


def _spoilt(kind: str, rows: Sequence[Any], at: int) -> Iterator[tuple[str, list[Any]]]:
    """The rows with one of them missing, doubled, late where it stands, and late where its stamp belongs."""
    names = STAMPS[kind]
    rest = [*rows[:at], *rows[at + 1 :]]
    yield "missing", rest
    yield "doubled", [*rows[:at], rows[at], *rows[at:]]
    for stamped in (names, names[-1:]):
        late = _late(rows[at], stamped)
        yield "late", [*rows[:at], late, *rows[at + 1 :]]
        after = [place for place, row in enumerate(rest) if getattr(row, names[-1]) > getattr(late, names[-1])]
        place = after[0] if after else len(rest)
        yield "late, in order", [*rest[:place], late, *rest[place:]]


def _rows(healthy: Evidence) -> Iterator[tuple[str, str, int]]:
    """Every single row: its kind, its host where there are several lists of them, its place."""
    for kind in ("arrivals", "answers", "frames", "visits"):
        yield from ((kind, "", at) for at in range(len(getattr(healthy, kind))))
    for host, rows in healthy.samples.items():
        yield from (("samples", host, at) for at in range(len(rows)))
    for host, stamps in healthy.changes.items():
        yield from (("changes", host, at) for at in range(len(stamps)))
    yield from (("proof", name, 0) for name in healthy.proof)


def _mutated(healthy: Evidence, kind: str, host: str, at: int) -> Iterator[tuple[str, Evidence]]:
    if kind == "proof":
        yield "missing", replace(healthy, proof={k: v for k, v in healthy.proof.items() if k != host})
    elif kind == "changes":
        stamps = healthy.changes[host]
        rest = [*stamps[:at], *stamps[at + 1 :]]
        spoilt = {"missing": rest, "doubled": [*stamps, stamps[at]], "late": [*rest, stamps[at] + LATE_NS]}
        for words, changed in spoilt.items():
            yield words, replace(healthy, changes={**healthy.changes, host: changed})
    elif kind == "samples":
        for words, rows in _spoilt(kind, healthy.samples[host], at):
            yield words, replace(healthy, samples={**healthy.samples, host: rows})
    else:
        for words, rows in _spoilt(kind, getattr(healthy, kind), at):
            changed_rows: dict[str, Any] = {kind: rows}
            yield words, replace(healthy, **changed_rows)


def _worse_than_unknown(seed: int, most: int | None) -> list[str]:
    """What reads worse than "unknown" of a healthy recording, of which `most` rows (None: each) are spoilt in turn."""
    healthy = History(seed).evidence()
    verdict = judge(healthy)
    found = [] if verdict.verdict == "intact" else [f"seed {seed}, as it is: {verdict.verdict}: {verdict.text}"]
    rows = list(_rows(healthy))
    for kind, host, at in rows if most is None else random.Random(seed).sample(rows, most):
        for words, spoilt in _mutated(healthy, kind, host, at):
            verdict = judge(spoilt)
            if verdict.verdict not in ("intact", "unknown"):
                found.append(f"seed {seed}, {kind} {host} {at} {words}: {verdict.verdict}: {verdict.text}")
    return found


def test_a_spoilt_row_of_a_healthy_recording_reads_no_worse_than_unknown() -> None:
    """A row, drawn at random, of each of 300 recordings, in each way."""
    assert [text for seed in SEEDS for text in _worse_than_unknown(seed, ROWS_SAMPLED)] == []


@pytest.mark.soak
@pytest.mark.parametrize("part", range(10))
def test_every_row_of_healthy_recordings_may_be_spoilt(part: int) -> None:
    assert [text for seed in SEEDS[part::10] for text in _worse_than_unknown(seed, None)] == []
