"""Whether what should have disturbed a trial has disturbed it, in time. A trial that missed it says nothing of it."""

from collections.abc import Sequence
from typing import NamedTuple

from migrascope.metrics.verdict.spans import NS, Times
from migrascope.model.disturbance import LATE_S, NONE
from migrascope.model.verdict import Statement

WITNESS = "disturbance"
MISSED = "not disturbed as planned"


class Disturbed(NamedTuple):
    """A row of the table disturbance."""

    name: str
    when: str
    due_ns: int
    effect_ns: int
    healed_ns: int
    note: str


class Began(NamedTuple):
    """A phase of the migration, and when it began (ns)."""

    at_ns: int
    phase: str


def took_effect(
    name: str, rows: Sequence[Disturbed], times: Times, late_s: float = LATE_S["qemu"], began: Sequence[Began] = ()
) -> list[Statement]:
    """One statement, none for a trial that was to be left alone. name: the disturbance that was wanted. late_s: how
    long after its due time one that is aimed at a phase has missed. began: the phases as they came."""
    if name == NONE:
        return []
    found = [row for row in rows if row.name == name]
    if not found:
        return [Statement(WITNESS, "unknown", f"{name}: nothing was recorded of it")]
    return [_said(row, times, late_s, began) for row in found]


def _said(row: Disturbed, times: Times, limit_s: float, began: Sequence[Began]) -> Statement:
    noted = f"; {row.note}" if row.note else ""
    if not row.effect_ns:
        return Statement(WITNESS, "unknown", f"{row.name} did not take effect{noted}")
    late_s = (row.effect_ns - row.due_ns) / NS
    words = f"{row.name} took effect {times.said(row.effect_ns)}"
    aimed = row.when not in ("trial", "window")
    if aimed:
        words += f", {1000 * late_s:.1f} ms after {row.when} was due"
        reached = [pair.phase for pair in began if pair.at_ns <= row.effect_ns]
        if reached and reached[-1] != row.when:
            words += f", in {reached[-1]}"
    missed = aimed and late_s > limit_s
    if missed:
        words += f": missed, more than {1000 * limit_s:g} ms late"
    span = row.effect_ns, row.healed_ns or row.effect_ns
    return times.statement(WITNESS, "unknown" if missed else "intact", words + noted, span)
