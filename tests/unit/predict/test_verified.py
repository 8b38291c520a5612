"""Whether advice was right: the plan that tries it, and what is said of what was measured."""

import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from faketrial import light

from fakerun import fake_run
from migrascope.analysis.results import TrialResult
from migrascope.analysis.run import analyse
from migrascope.lab.fake.script import Failure, Script, default_script
from migrascope.lab.libvirt.policy import refused
from migrascope.mechanism.copying import Course
from migrascope.model.managers import FixedLimit
from migrascope.model.plan import Plan
from migrascope.model.policy import BUILT_IN, Policy
from migrascope.model.problem import UsageProblem
from migrascope.model.schedule import TrialSpec, cells, schedule
from migrascope.predict.advice import Mind, Option, Wish
from migrascope.predict.predictor import Prediction
from migrascope.predict.verified import ADVISED, DEFAULTS, as_json, compared, lines, right, verifying

COURSE = Course(True, 2.0, 0.1, 1e8, 3)
OPTION = Option("post-copy", BUILT_IN["post-copy"], 0.03, Prediction(COURSE, [COURSE], {}, {}), 0.1)
WISH = Wish("time", 20.0)
AXES = {
    "scenario": ["none"], "link": ["500mbit"], "write_rate": ["0B/s", "20MB/s"], "working_set": ["64MiB"],
    "downtime_limit": ["100ms", "300ms"],
}  # fmt: skip


def plan(cell: int = -1, **parts: Any) -> Plan:
    asked = light(lab={"kind": "fake"}, axes=AXES, **parts)
    return verifying(asked, cells(asked)[cell], OPTION, WISH)


def test_the_plan_tries_the_advised_policy_and_the_defaults_on_the_one_guest() -> None:
    found = plan()
    assert found.blocks == 6
    assert [factors.policy for factors in cells(found)] == [ADVISED, *DEFAULTS]
    assert {(factors.write_Bps, factors.write_set_bytes, factors.link_bps) for factors in cells(found)} == {
        (20e6, 64 * 2**20, 500e6)
    }
    policies = found.chosen_policies()
    assert policies[ADVISED] == BUILT_IN["post-copy"].model_copy(
        update={"fixed": FixedLimit.model_validate({"downtime": "30ms"})}
    )
    assert policies["nova-default"].controller(0.5, 2**30) is not None
    assert found.axes.downtime_limit == [0.5]
    assert found.windows.limit == 20.0
    assert found.probes.dirty
    blocks = [spec.block for spec in schedule(found)]
    assert sorted(set(blocks)) == [1, 2, 3, 4, 5, 6]


def test_a_guest_that_writes_nothing_and_a_drawn_part_of_a_plan_can_be_tried_too() -> None:
    assert {factors.write_Bps for factors in cells(plan(0, cells=2, blocks=1))} == {0.0}


def test_libvirt_tries_it_too() -> None:
    asked = light(lab={"kind": "libvirt"}, axes=AXES)
    found = verifying(asked, cells(asked)[-1], OPTION, WISH)
    assert (found.lab.kind, found.sampled) == ("libvirt", True)
    assert {refused(policy) for policy in found.chosen_policies().values()} == {None}


def test_where_it_cannot_be_tried_that_is_said() -> None:
    asked = light(lab={"kind": "openstack"}, axes=AXES | {"scenario": ["none"]})
    with pytest.raises(UsageProblem, match="sets no limits of single migrations"):
        verifying(asked, cells(asked)[0], OPTION, WISH)
    guest = {"pool": "default", "bridge": "br0", "address": "192.0.2.50/24"}
    there = {"hosts": ["qemu+ssh://a/system", "qemu+ssh://b/system"], "guest": guest}
    asked = Plan.model_validate({"lab": {"kind": "libvirt"}, "libvirt": there, "axes": {"scenario": ["none"]}})
    with pytest.raises(UsageProblem, match="hosts of others set no limits of single migrations"):
        verifying(asked, cells(asked)[0], OPTION, WISH)
    with pytest.raises(UsageProblem, match="guest-speed is no figure that is measured"):
        verifying(light(axes=AXES), cells(light(axes=AXES))[0], OPTION, Wish("guest-speed"))


@cache
def measured(policy: str, precopy_s: float, failure: Failure | None) -> list[TrialResult]:
    """The trials of the plan with one of its policies, which take so long, and 10 ms more in each block: one is run,
    and the others are that one in their blocks."""

    def script(spec: TrialSpec) -> Script:
        return replace(default_script(spec, 1), precopy_s=precopy_s, failure=failure)

    whole = plan()
    axes = whole.axes.model_copy(update={"policy": [policy]})
    with tempfile.TemporaryDirectory() as folder:
        one = whole.model_copy(update={"axes": axes, "blocks": 1})
        (trial,) = analyse(fake_run(Path(folder), one, script)).trials
    return [_in_block(trial, block) for block in range(1, whole.blocks + 1)]


def _in_block(trial: TrialResult, block: int) -> TrialResult:
    took = trial.metrics["migration_time_s"]
    longer = took if took.value is None else replace(took, value=took.value + 0.01 * block)
    facts = replace(trial.facts, block=block, number=block)
    return replace(trial, facts=facts, metrics=trial.metrics | {"migration_time_s": longer})


def trials(precopy_s: dict[str, float], failing: tuple[str, ...] = ()) -> list[TrialResult]:
    """Those of the plan in which each policy takes so long."""
    return [
        trial
        for policy, took in precopy_s.items()
        for trial in measured(policy, took, "not-converged" if policy in failing else None)
    ]


EVEN = {ADVISED: 2.0, "qemu-default": 2.0, "nova-default": 2.0}


def test_advice_that_costs_less_in_each_block_was_right() -> None:
    found = compared(trials(EVEN | {"qemu-default": 4.0, "nova-default": 5.0}), "time")
    assert [each.verdict for each in found] == ["better", "better"]
    assert right(found) is True
    said = lines(found, "time")
    assert "against qemu-default: better, migration time 2" in said[0]
    assert said[-1] == "the advice was right"
    assert as_json("it", found)["right"] is True


def test_advice_that_costs_more_was_wrong() -> None:
    found = compared(trials(EVEN | {ADVISED: 4.0, "qemu-default": 6.0}), "time")
    assert [each.verdict for each in found] == ["better", "worse"]
    assert right(found) is False
    assert lines(found, "time")[-1] == "the advice was wrong"


def test_defaults_that_do_not_end_cost_more() -> None:
    found = compared(trials(EVEN, failing=("nova-default",)), "time")
    nova = next(each for each in found if each.default == "nova-default")
    assert nova.verdict == "better"
    assert nova.ended == (6, 0, 6)
    assert "any less to any less (6 blocks); ended: 6 of 6, nova-default 0 of 6" in lines(found, "time")[1]
    assert as_json("it", found)["against"][1]["difference"] is None


def test_where_neither_ends_nothing_is_shown() -> None:
    found = compared(trials(EVEN, failing=(ADVISED, "nova-default")), "time")
    assert [each.verdict for each in found] == ["worse", "open"]
    assert right([each for each in found if each.default == "nova-default"]) is None


@pytest.mark.parametrize("mind", ["time", "blackout", "data"])
def test_what_is_minded_is_what_is_compared(mind: Mind) -> None:
    found = compared(trials(EVEN), mind)
    assert [each.difference.n for each in found if each.difference is not None] == [6, 6]


def test_no_trial_is_no_answer() -> None:
    found = compared([], "time")
    assert right(found) is None
    assert "was measured in no block of both" in lines(found, "time")[0]
    assert Policy.model_validate({"fixed": {}}).controller(1.0, 2**30) is not None
