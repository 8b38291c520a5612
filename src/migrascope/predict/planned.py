"""What a plan is going to cost, before anything of it is run: its guests as they were sampled in earlier trials."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from migrascope.mechanism.dirtying import Dirty
from migrascope.model.disturbance import NONE
from migrascope.model.plan import Plan
from migrascope.model.policy import Policy
from migrascope.model.schedule import Factors, cells
from migrascope.model.units import number_of
from migrascope.predict.learnt import Predicts
from migrascope.predict.predictor import Prediction
from migrascope.predict.recorded import request_for
from migrascope.predict.request import Guest, NotPredicted, Request
from migrascope.predict.seen import Seen, load_of, once
from migrascope.predict.texts import named, titled

SCHEMA = 1
HELPS = (
    "run a plan with such a guest and probes.dirty = true, or name the folder of earlier runs (--runs) or their table "
    "(--data)"
)


@dataclass(frozen=True)
class Expected:
    """A cell of a plan. prediction: None for the reason why. sampled: of how many earlier trials its guest is known."""

    factors: Factors
    prediction: Prediction | None
    sampled: int
    why: str = ""

    def as_json(self) -> dict[str, Any]:
        """For programs, in base units."""
        predicted = self.prediction.as_json() if self.prediction is not None else None
        why = {"why": self.why} if self.why else {}
        return {"factors": vars(self.factors), "predicted": predicted, "sampled_trials": self.sampled, **why}


class Known:
    """What earlier trials on this machine say of guests. accelerator: of the last of them."""

    def __init__(self, plan: Plan, found: Iterable[Seen], machine: str) -> None:
        """found: guests of trials anywhere. NotPredicted where none of them is of the plan's lab and this machine."""
        self._plan = plan
        wanted = plan.lab.accelerator
        there = [seen for seen in once(found) if seen.lab == plan.lab.kind and wanted in ("auto", seen.accelerator)]
        self._seen = [seen for seen in there if seen.machine == machine]
        if not self._seen:
            others = "; ".join(sorted({seen.machine for seen in there if seen.machine}))
            raise NotPredicted(
                f"cannot be predicted, because no trial on this machine is known in the lab {plan.lab.kind}"
                + (f", only on {others}" if others else "") + f"; {HELPS}"
            )  # fmt: skip
        self.accelerator = self._seen[-1].accelerator

    def request(self, factors: Factors, policy: Policy) -> tuple[Request, int]:
        """What a cell asks for, and in how many trials its guest was sampled: the median of their samples. The
        accelerator is that of the last of them. NotPredicted where its guest is not known."""
        if factors.disturbance != NONE:
            raise NotPredicted("cannot be predicted, because there is no rule here for a disturbance")
        alike = [seen for seen in self._seen if seen.load == load_of(factors)]
        if not alike:
            raise NotPredicted(f"cannot be predicted, because no such guest was sampled on this machine; {HELPS}")
        accelerator = alike[-1].accelerator
        alike = [seen for seen in alike if seen.accelerator == accelerator]
        periods: dict[float, list[float]] = {}
        for seen in alike:
            for point in seen.points:
                periods.setdefault(point.period_s, []).append(point.dirty_bytes)
        points = [Dirty(period_s, median(found)) for period_s, found in sorted(periods.items())]
        held = median(seen.held_bytes for seen in alike)
        guest = Guest.sampled(float(factors.memory_bytes), held, points)
        plan = self._plan
        return request_for(guest, factors, policy, accelerator, plan.windows.limit, plan.lab.kind), len(alike)


def expected(plan: Plan, known: Known, predictor: Predicts) -> Iterator[Expected]:
    """Each cell of a plan, in the order in which they are written."""
    policies = plan.chosen_policies()
    for factors in cells(plan):
        sampled = 0
        try:
            request, sampled = known.request(factors, policies[factors.policy])
            yield Expected(factors, predictor.predict(request), sampled)
        except NotPredicted as error:
            yield Expected(factors, None, sampled, str(error))


def guest_of(plan: Plan, number: int | None) -> Factors:
    """The cell of which advice is wanted, by its place in the order in which they are written; None: the only guest
    there is. NotPredicted where there are several, or no such cell."""
    there = cells(plan)
    if number is not None:
        if not 1 <= number <= len(there):
            raise NotPredicted(f"plan {plan.name} has no cell {number}, only 1 to {len(there)}")
        return there[number - 1]
    guests = {(cell.link_bps, load_of(cell)) for cell in there}
    if len(guests) > 1:
        raise NotPredicted(
            f"plan {plan.name} has {len(guests)} guests and links, and advice is of one: say which with --trial N, the "
            f"cell's place in `migrascope predict {plan.name}`"
        )
    return there[0]


def as_json(plan: Plan, rows: Sequence[Expected], based_on: str) -> dict[str, Any]:
    """The public JSON of `predict PLAN`."""
    return {"schema": SCHEMA, "plan": plan.name, "based_on": based_on, "cells": [row.as_json() for row in rows]}


def lines(rows: Sequence[Expected], based_on: str) -> list[str]:
    """What `predict PLAN` prints: of each cell its name, and what is predicted beneath it. Cells that cannot be
    predicted for the same reason share its line."""
    factors = [row.factors for row in rows]
    names, figures = list[str](), list[list[str]]()
    without: dict[str, list[str]] = {}
    for number, row in enumerate(rows, start=1):
        name = f"{number} {row.factors.label(factors)}".rstrip()
        if row.prediction is None:
            without.setdefault(row.why, []).append(name)
            continue
        names.append(f"{name} ({number_of('trial', row.sampled)} sampled)")
        figures.append(titled(row.prediction))
    shown = named(names, figures)
    based = ["", f"based on {based_on}"] if shown else []
    said = [line for why, cells in without.items() for line in ("", why, *(f"  {name}" for name in cells))]
    return [*shown, *based, *said]
