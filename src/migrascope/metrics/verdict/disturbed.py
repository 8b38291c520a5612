"""Whether what should have disturbed a trial has disturbed it, in time. A trial that missed it says nothing of it."""

from collections.abc import Sequence
from typing import NamedTuple

from migrascope.metrics.verdict.spans import NS, Times
from migrascope.model.disturbance import LATE_S, NONE
from migrascope.model.verdict import Statement

WITNESS = "disturbance"


class Disturbed(NamedTuple):
    """A row of the table disturbance."""

    name: str
    when: str
    due_ns: int
    effect_ns: int
    healed_ns: int
    note: str


def took_effect(name: str, rows: Sequence[Disturbed], times: Times) -> list[Statement]:
    """One statement, none for a trial that was to be left alone. name: the disturbance that was wanted."""
    if name == NONE:
        return []
    found = [row for row in rows if row.name == name]
    if not found:
        return [Statement(WITNESS, "unknown", f"{name}: nothing was recorded of it")]
    return [_said(row, times) for row in found]


def _said(row: Disturbed, times: Times) -> Statement:
    noted = f"; {row.note}" if row.note else ""
    if not row.effect_ns:
        return Statement(WITNESS, "unknown", f"{row.name} did not take effect{noted}")
    late_s = (row.effect_ns - row.due_ns) / NS
    words = f"{row.name} took effect {times.said(row.effect_ns)}"
    aimed = row.when not in ("trial", "window")
    if aimed:
        words += f", {1000 * late_s:.1f} ms after {row.when} was due"
    missed = aimed and late_s > LATE_S
    if missed:
        words += f": missed, more than {1000 * LATE_S:g} ms late"
    span = row.effect_ns, row.healed_ns or row.effect_ns
    return times.statement(WITNESS, "unknown" if missed else "intact", words + noted, span)
