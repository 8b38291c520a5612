"""Disturbances of a plan, and the trigger that waits for a phase."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrascope.model.disturbance import KINDS, PHASES, Disturbance
from migrascope.model.phase import Trigger, phase_of
from migrascope.model.schedule import cells
from migrascope.study.plans import PlanError, parse, text_of

CUT = "name = 'cut'\nkind = 'link-down'\ntarget = 'migration'\nwhen = 'first-copy'\nduration = '2s'"


def plan_of(table: str, axes: str = "", rest: str = "") -> str:
    return f"{rest}\n[axes]\nscenario = ['none']\ndisturbance = ['none', 'cut']\n{axes}\n[[disturbance]]\n{table}\n"


def test_a_disturbance_is_a_factor_and_survives_writing() -> None:
    plan = parse(plan_of(CUT), "plan")
    assert [factors.disturbance for factors in cells(plan)] == ["none", "cut"]
    assert parse(text_of(plan), "plan") == plan
    assert plan.disturbances()["cut"].duration == 2.0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("'migration'", "'backbone'"), "target 'backbone' is not known to link-down"),
        (("'first-copy'", "'second-copy'"), "when 'second-copy' is not known"),
        (("'first-copy'", "'round:1'"), "round:1 is written first-copy"),
        (("'first-copy'", "'post-copy'"), "policy pre-copy: the policy has no phase post-copy"),
        (("duration = '2s'", ""), "duration is missing"),
        (("duration = '2s'", "duration = '2h'"), "duration: 10ms to 10min"),
        (("'first-copy'", "'trial'"), "the whole trial has none"),
        (("'link-down'", "'link-rate'"), "link-rate needs rate"),
        (("'link-down'", "'traffic'\nrate = '0mbit'"), "rate: 100kbit to 100gbit"),
        (("'link-down'", "'link-down'\nrate = '1gbit'"), "link-down takes no rate"),
        (("'link-down'\ntarget = 'migration'", "'qemu-kill'\ntarget = 'source'"), "qemu-kill has no duration"),
        (("'link-down'\ntarget = 'migration'", "'qemu-kill'\ntarget = 'host-c'"), "target 'host-c' is not known"),
        (("'link-down'", "'abort'"), "abort takes no target"),
        (("'link-down'\ntarget = 'migration'", "'guest-cpu'\nworkers = 1"), "begins too slowly for a phase"),
        (("name = 'cut'", "name = 'gash'"), "'cut' has no table"),
        (("target = 'migration'", "target = 'storage'\nway = 'from-source'"), "only the migration link"),
    ],
)
def test_what_makes_no_sense_is_one_clear_error(change: tuple[str, str], words: str) -> None:
    with pytest.raises(PlanError, match=words) as caught:
        parse(plan_of(CUT.replace(*change)), "plan")
    assert len(caught.value.problems) == 1


def test_a_working_set_larger_than_the_guest_s_memory_is_refused() -> None:
    stress = "name = 'cut'\nkind = 'guest-memory'\nwrite_rate = '1MB/s'\nworking_set = '{}'\npattern = 'hot'"
    parse(plan_of(stress.format("256MiB"), "memory = ['512MiB']"), "plan")
    with pytest.raises(PlanError, match="the guest has 256MiB of memory for it"):
        parse(plan_of(stress.format("257MiB"), "memory = ['512MiB']"), "plan")


def test_other_labs_have_none() -> None:
    with pytest.raises(PlanError, match="the lab fake has no disturbances"):
        parse(plan_of(CUT) + "[lab]\nkind = 'fake'\n", "plan")


def test_two_of_one_name_are_refused() -> None:
    with pytest.raises(PlanError, match="same name"):
        parse(plan_of(CUT) + f"[[disturbance]]\n{CUT}\n", "plan")


def test_every_kind_can_be_written() -> None:
    doses: dict[str, Any] = {"rate": "10mbit", "write_rate": "1MB/s", "working_set": "8MiB", "workers": 1}
    for name, kind in KINDS.items():
        given = {key: doses[key] for key in kind.needs}
        when = {"when": "setup"} if kind.instant else {"when": "trial"}
        target = {"target": kind.targets[0]} if kind.targets else {}
        assert Disturbance.model_validate({"name": "x", "kind": name, **given, **when, **target}).kind == name


EVENTS = st.one_of(
    st.tuples(st.just("STOP"), st.just({})),
    st.tuples(st.just("RESUME"), st.just({})),
    st.tuples(st.just("MIGRATION_PASS"), st.integers(1, 4).map(lambda number: {"pass": number})),
    st.tuples(
        st.just("MIGRATION"),
        st.sampled_from(["setup", "active", "device", "postcopy-active", "completed"]).map(lambda s: {"status": s}),
    ),
)


@given(st.sampled_from([*PHASES, "round:2", "round:3"]), st.lists(EVENTS), st.lists(EVENTS))
def test_a_trigger_fires_at_the_first_event_of_its_phase_after_the_request(
    phase: str, before: list[tuple[str, dict[str, Any]]], after: list[tuple[str, dict[str, Any]]]
) -> None:
    trigger = Trigger(phase)
    assert not any(trigger.see(*event, at_ns=at) for at, event in enumerate(before))
    trigger.request()
    fired = [at for at, event in enumerate(after) if trigger.see(*event, at_ns=at)]
    expected = [at for at, event in enumerate(after) if phase_of(*event) == phase][:1]
    assert fired == expected
    assert trigger.fired_ns == (expected[0] if expected else None)
