"""Runs against one another, against thresholds, and written out for others."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from judged import bounded
from rich.console import Console
from tworuns import of_trials, plan

from fakerun import fake_run
from migrascope.analysis.compare import LAYERS, NotComparable, as_json, compare
from migrascope.analysis.run import analyse
from migrascope.analysis.summary import Summary
from migrascope.cli.main import app
from migrascope.model.measured import Measured
from migrascope.report.terminal.comparison import show
from migrascope.store.runfolder import RunFolder


def test_what_differs_is_said_and_what_does_not(ours: Summary, theirs: Summary) -> None:
    found = compare(ours, theirs)
    assert found.facts == {"policy": ("pre-copy", "xbzrle")}
    by_key = {difference.key: difference for difference in found.differences}
    pause, data = by_key["vm_pause_s"], by_key["data_transferred_bytes"]
    assert (pause.n, pause.seen) == (6, 1)
    assert pause.effect == pytest.approx(0.1, abs=0.002)
    assert pause.p == pytest.approx(2 / 924)
    assert pause.interval is not None
    assert pause.interval.low == pytest.approx(0.05, abs=0.002)
    assert data.seen == 0


def test_programs_are_told_the_family_and_where_the_limit_decided(ours: Summary, theirs: Summary) -> None:
    found = compare(ours, theirs)
    (public,) = json.loads(json.dumps(as_json([found])))["comparisons"]
    told = [difference for difference in public["differences"] if difference["p"] is not None]
    assert public["differences"][0]["layer"] == "hypervisor"
    assert public["family"]["comparisons"] == len(told) > 5
    assert "Benjamini-Hochberg" in public["family"]["method"]
    assert all(item["p_of_family"] >= item["p"] for item in told)
    (limits,) = public["limit_decided"]
    assert limits["cell"]["scenario"] == "none"
    assert (limits["ours"]["of"], limits["theirs"]["of"]) == (6, 6)
    assert limits["theirs"]["limit_decided"] == 6, "from 310 ms on, under a limit of 300"


def test_a_comparison_is_printed_whole(short: RunFolder, long: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert app(["compare", str(short.path), str(long.path)], result_action="return_value") == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert "differs: policy: pre-copy, then xbzrle" in lines
    assert "then: the downtime limit decided in 6 of 6 trials, which are in" in lines
    pause = next(line for line in lines if "vm_pause_s" in line)
    assert pause.split("  ")[0] == "hypervisor"
    assert pause.endswith("more")
    told = " ".join(out.split())
    assert "comparisons: a difference is seen where its interval has one sign and a rank test holds among all" in told


def test_below_six_trials_on_a_side_no_difference_is_told(ours: Summary, theirs: Summary) -> None:
    other = of_trials(theirs, theirs.trials[:5])
    first = theirs.trials[0]
    seven = of_trials(theirs, [*theirs.trials, replace(first, facts=replace(first.facts, number=7, block=7))])
    five = {difference.key: difference for difference in compare(ours, other).differences}["vm_pause_s"]
    assert (five.seen, five.p, five.reason) == (0, None, "5 trials, 6 are needed")
    assert compare(ours, other).comparisons == 0
    assert {difference.key: difference for difference in compare(ours, seven).differences}["vm_pause_s"].seen == 1


def redrawn(summary: Summary, chance: np.random.Generator, *, more: float = 0.0) -> Summary:
    """The run with every figure drawn anew, those of a layer going together; some of them larger."""
    trials = []
    for trial in summary.trials:
        drawn = {}
        for keys in LAYERS.values():
            together = chance.normal()
            for at, key in enumerate(keys):
                value = 20 + together + 0.5 * chance.normal() + (more if at == 0 else 0)
                drawn[key] = Measured(value, "s", "test")
        trials.append(replace(trial, metrics=trial.metrics | drawn))
    return replace(summary, trials=trials)


def test_two_runs_of_the_same_show_no_difference_in_nineteen_of_twenty(ours: Summary) -> None:
    chance, runs, wrong = np.random.default_rng(6), 200, 0
    for _ in range(runs):
        found = compare(redrawn(ours, chance), redrawn(ours, chance))
        wrong += any(difference.seen for difference in found.differences)
        assert found.comparisons == len(found.differences) > 12
    assert bounded(wrong, runs, 0.05)


def test_a_difference_that_is_there_is_seen_in_six_blocks_among_all_figures(ours: Summary) -> None:
    chance = np.random.default_rng(7)
    found = compare(redrawn(ours, chance), redrawn(ours, chance, more=10.0))
    assert {difference.key for difference in found.differences if difference.seen} == {
        keys[0] for keys in LAYERS.values()
    }


def test_one_that_may_be_the_chance_of_many_comparisons_is_not_seen(
    ours: Summary, capsys: pytest.CaptureFixture[str]
) -> None:
    comparison = compare(redrawn(ours, np.random.default_rng(7)), redrawn(ours, np.random.default_rng(8), more=10.0))
    many = replace(
        comparison,
        differences=[replace(each, p_of_family=0.2 if each.apart else 1.0) for each in comparison.differences],
    )
    assert any(each.apart for each in many.differences)
    assert not any(each.seen for each in many.differences)
    show(many, Console(width=200))
    assert f"may be chance among {many.comparisons}" in capsys.readouterr().out


def test_other_machines_are_refused_with_the_facts_unless_forced(ours: Summary) -> None:
    environment = {**ours.environment, "environment": {"cpu": "another", "cores": 8, "memory_bytes": 1}}
    theirs = replace(ours, environment=environment)
    with pytest.raises(NotComparable, match=r"cpu: .* and another"):
        compare(ours, theirs)
    found = compare(ours, theirs, force=True)
    assert set(found.forced) == {"cpu", "cores", "memory_bytes"}
    assert not any(difference.seen for difference in found.differences)


def test_a_name_that_stands_for_another_thing_is_not_compared(ours: Summary) -> None:
    named = {"axes": {**ours.plan["axes"], "policy": ["late"]}}
    summary = replace(ours, plan={**ours.plan, **named, "policies": {"late": {"post_copy": {"after_round": 2}}}})
    other = replace(ours, plan={**ours.plan, **named, "policies": {"late": {"xbzrle": {"cache": 2**26}}}})
    compare(summary, summary)
    with pytest.raises(NotComparable, match=r"policy late: post_copy \{'after_round': 2\} and xbzrle"):
        compare(summary, other)
    assert "policy late" in compare(summary, other, force=True).forced
    cut = {"name": "cut", "kind": "link-down", "duration": 1.0}
    named = {"axes": {**ours.plan["axes"], "disturbance": ["cut"]}}
    summary = replace(ours, plan={**ours.plan, **named, "disturbance": [cut]})
    other = replace(ours, plan={**ours.plan, **named, "disturbance": [{**cut, "duration": 2.0}]})
    with pytest.raises(NotComparable, match=r"disturbance cut: .*duration 1\.0 and .*duration 2\.0"):
        compare(summary, other)


def test_settings_that_differ_are_said(ours: Summary) -> None:
    visitors = {**ours.plan["visitors"], "live_buffer": 9.0}
    facts = compare(ours, replace(ours, plan={**ours.plan, "visitors": visitors})).facts
    assert facts["visitors.live_buffer"] == (ours.plan["visitors"]["live_buffer"], 9.0)


def test_another_lab_on_the_same_machine_is_compared_by_layer(ours: Summary) -> None:
    theirs = replace(ours, lab="openstack", qemu="9.0")
    assert compare(ours, theirs).facts["lab"] == ("fake", "openstack")
    with pytest.raises(NotComparable, match=r"qemu: none and 9\.0"):
        compare(ours, replace(ours, qemu="9.0"))


def test_runs_without_a_common_cell_are_refused(ours: Summary, tmp_path: Path) -> None:
    other = analyse(fake_run(tmp_path, plan(blocks=1, memory=["512MiB", "2GiB"])))
    with pytest.raises(NotComparable, match="share no cell: every one has another memory_bytes"):
        compare(ours, other)


@pytest.mark.parametrize(
    ("times", "barred"),
    [({"new_rate": 1.04}, False), ({"new_rate": 0.5}, True), ({"kept_rate": 1.2}, True)],
)
def test_runs_of_another_load_are_told_apart(ours: Summary, times: dict[str, float], barred: bool) -> None:
    visitors = ours.plan["visitors"]
    plan = {**ours.plan, "visitors": {**visitors, **{key: factor * visitors[key] for key, factor in times.items()}}}
    theirs = replace(ours, run="other", plan=plan)
    if barred:
        with pytest.raises(NotComparable, match="--load-from makes a run with another's load"):
            compare(ours, theirs)
    found = compare(ours, theirs, force=True)
    assert len(found.facts) == 1
    assert bool(found.forced) == barred
