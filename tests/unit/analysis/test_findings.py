"""What a run shows, in sentences: when something is shown, when the contrary is, and when nothing is."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
from faketrial import FACTORS
from judged import result, said

from migrascope.analysis.limit import undecided_limits
from migrascope.analysis.results import TrialResult
from migrascope.model.axes import Scenario
from migrascope.model.storage import Storage
from migrascope.model.verdict import Judgement, Verdict


def rising(n: int) -> list[TrialResult]:
    return [
        result(at, at, data_transferred_bytes=1e8 * at, migration_time_s=0.9 * at, vm_pause_s=0.01 * at)
        for at in range(1, n + 1)
    ]


SIZES = (0, 128, 256, 512)
SCENARIOS: tuple[Scenario, ...] = ("none", "relay")
STORAGES: tuple[Storage, ...] = ("shared", "copied")


def in_doses(limit_s: float = 0.3, **slopes: float) -> list[TrialResult]:
    """Two trials of each of four doses in two scenarios; figures in seconds for each MB, and a little that scatters."""
    found = []
    for at, (scenario, size) in enumerate(itertools.product(SCENARIOS, SIZES)):
        factors = replace(FACTORS, scenario=scenario, resident_bytes=size * 2**20, downtime_limit_s=limit_s)
        for block in (1, 2):
            data = 100.0 + size + (20.0 if scenario == "relay" else 0.0)
            values: dict[str, Any] = {key: 10 + each * data + 0.001 * (at * 7 % 8) for key, each in slopes.items()}
            found.append(result(2 * at + block, block, factors, data_transferred_bytes=1e6 * data, **values))
    return found


def test_more_data_more_time_is_said_when_shown() -> None:
    (time_finding,) = said(in_doses(migration_time_s=0.009), "data-time")
    assert time_finding.verdict == "pass"
    assert time_finding.text.startswith("More data, more time: each further 100 MB took 90")
    assert time_finding.evidence["n"] == 16
    assert time_finding.evidence["low"] < 0.009e-6 < time_finding.evidence["high"]


@pytest.mark.parametrize(
    ("levels", "says"),
    [
        ([{"scenario": "none"}], "nothing that the guest carries was varied"),
        ([{"scenario": "none"}, {"scenario": "relay"}], "not set but followed from 2 kinds of guest: 2 clusters"),
        ([{"write_Bps": 1e6}, {"write_Bps": 2e6}, {"vcpus": 2}], "not set but followed from 3 kinds of guest"),
        ([{"resident_bytes": 0}, {"resident_bytes": 1}, {"resident_bytes": 2}], "6 permutations of the doses"),
        ([{"cache": "cold"}, {"cache": "warm"}], "set through the page cache alone, in 2 clusters"),
        (
            [{"scenario": scenario, "resident_bytes": size} for scenario in ("none", "relay") for size in (0, 1, 2)],
            "36 permutations of the doses, 40 are needed",
        ),
    ],
)
def test_what_cannot_carry_a_conclusion_says_why_and_what_would(levels: list[dict[str, Any]], says: str) -> None:
    trials = [
        replace(trial, facts=replace(trial.facts, factors=replace(FACTORS, **levels[at % len(levels)])))
        for at, trial in enumerate(rising(12))
    ]
    time, *downtimes = (*said(trials, "data-time"), *said(trials, "data-downtime"))
    assert "four doses in each of two scenarios, or five in one" in time.text
    for finding in (time, *downtimes):
        assert finding.verdict == "unknown"
        assert finding.text.startswith("Nothing can be concluded")
        assert says in finding.text


def test_and_the_contrary_when_that_is_shown() -> None:
    assert said(in_doses(migration_time_s=-0.009), "data-time")[0].verdict == "fail"


def test_and_nothing_when_nothing_is_shown() -> None:
    finding = said(in_doses(migration_time_s=0.0), "data-time")[0]
    assert finding.verdict == "unknown"
    assert "not shown" in finding.text
    assert "95 % interval" in finding.text


def test_trials_that_the_limit_decided_are_not_pooled_with_the_others() -> None:
    bound = [
        result(
            20 + trial.facts.number, trial.facts.block, trial.facts.factors, vm_pause_s=0.3, reported_downtime_s=0.29
        )
        for trial in in_doses(0.31)
    ]
    free = in_doses(vm_pause_s=0.009)
    both = [*free, *bound]
    assert {trial.facts.number for trial in undecided_limits(both)} == set(range(1, 17))
    spared = [replace(trial, facts=replace(trial.facts, factors=FACTORS)) for trial in bound]
    assert undecided_limits([*free, *spared]) == [], "those that it spared are chosen by their outcome"
    pause = next(finding for finding in said(both, "data-downtime") if finding.evidence["metric"] == "vm_pause_s")
    alone = next(finding for finding in said(free, "data-downtime") if finding.evidence["metric"] == "vm_pause_s")
    assert pause.evidence == alone.evidence
    assert "downtime limit 300 ms: it decided in none" in pause.text
    assert "16 trials under limits that decided in some" in pause.text
    limit = said(both, "limit")[1]
    assert limit.verdict == "fail"
    assert limit.evidence == {"downtime_limit_s": 0.31, "limited": 16, "n": 16, "of": 16}
    assert "did not decide" in said(free, "limit")[0].text


def test_a_trial_whose_downtime_is_unknown_is_not_pooled_either() -> None:
    unknown = replace(result(1), limited=None)
    assert undecided_limits([unknown]) == []


def test_trials_over_different_links_are_not_held_together() -> None:
    fast = in_doses(migration_time_s=0.009)
    slow = [
        replace(trial, facts=replace(trial.facts, factors=replace(trial.facts.factors, link_bps=1e8)))
        for trial in in_doses(migration_time_s=0.09)
    ]
    found = said([*fast, *slow], "data-time")
    assert len(found) == 2
    assert {finding.evidence["n"] for finding in found} == {16}
    assert sorted(round(1e6 * finding.evidence["slope"], 3) for finding in found) == [0.009, 0.09]


def test_cells_of_a_second_part_do_not_take_the_scenarios_sentences() -> None:
    blocks = [
        result(10 * block + at, block, replace(FACTORS, scenario=name), migration_time_s=1.0 + at + 0.01 * block)
        for block in range(1, 7)
        for at, name in enumerate(SCENARIOS)
    ]
    found = said([*blocks, *in_doses(100.0)], "scenario")
    assert found[0].text.startswith("relay against none, paired within 6 blocks")
    assert [finding.text for finding in found[1:]] == [
        "Nothing can be concluded on 4 of 5 comparisons of scenarios with none: fewer than 6 pairs within blocks."
    ]


def test_a_copied_volume_is_compared_with_a_shared_one() -> None:
    """What shared storage saves, by link; data against time are not taken from both kinds at once."""
    trials = [
        result(
            10 * block + at, block, replace(FACTORS, scenario="none", storage=storage, link_bps=link),
            migration_time_s=1e9 / link * (3.0 if storage == "copied" else 1.0) + 0.01 * block,
            http_new_blackout_s=0.2, http_kept_blackout_s=0.2,
        )
        for block in range(1, 7)
        for at, (storage, link) in enumerate(itertools.product(STORAGES, (1e9, 5e8)))
    ]  # fmt: skip
    found = said(trials, "storage")
    assert [finding.verdict for finding in found] == ["pass", "pass"]
    assert found[0].text.startswith("1gbit copied against shared, paired within 6 blocks: 2.00 s more migration time")
    assert found[1].text.startswith("500mbit copied against shared, paired within 6 blocks: 4.00 s more migration time")
    assert said([trial for trial in trials if trial.facts.factors.storage == "shared"], "storage") == []
    (nothing,) = said(trials, "data-time")
    assert "in 4 of 4 groups of trials" in nothing.text
    assert said(trials, "data-downtime") == []


def test_what_no_policy_can_tell_of_data_is_said_once() -> None:
    trials = [
        result(
            10 * block + at, block, replace(FACTORS, policy=policy, write_Bps=1e6 * rate), migration_time_s=1.0 + rate,
            data_transferred_bytes=1e8 * (1 + rate), vm_pause_s=0.1, network_blackout_s=0.2,
        )
        for block in range(1, 7)
        for at, (policy, rate) in enumerate(itertools.product(("pre-copy", "post-copy", "nova"), range(3)))
    ]  # fmt: skip
    found = [*said(trials, "data-time"), *said(trials, "data-downtime")]
    assert [finding.text.split(": ")[0] for finding in found] == [
        "Nothing can be concluded on data against time and downtime in 3 of 3 groups of trials in which nothing else "
        "differs"
    ]
    assert "3 kinds of guest" in found[0].text
    alone = [trial for trial in trials if trial.facts.factors.policy == "nova"]
    assert len([*said(alone, "data-time"), *said(alone, "data-downtime")]) == 3


def test_each_network_is_compared_with_the_first_of_the_plan() -> None:
    axes = {"axes": {"network": ["agents-vlan", "ovn-geneve"]}}
    trials = []
    for block in range(1, 7):
        for at, (network, blackout_s) in enumerate((("agents-vlan", 2.5), ("ovn-geneve", 0.4))):
            factors = replace(FACTORS, scenario="none", network=network)
            found = result(
                10 * block + at, block, factors, network_blackout_s=blackout_s + 0.01 * block * at,
                vm_pause_s=0.1, http_new_blackout_s=0.2, http_kept_blackout_s=0.2,
            )  # fmt: skip
            trials.append(replace(found, facts=replace(found.facts, plan=found.facts.plan | axes)))
    (finding,) = said(trials, "network")
    assert finding.text.startswith(
        "ovn-geneve against agents-vlan, paired within 6 blocks: 2.06 s less network blackout"
    )
    assert "Not shown to differ" in finding.text
    assert said([trial for trial in trials if trial.facts.factors.network == "ovn-geneve"], "network") == []


def test_scenarios_are_compared_within_blocks() -> None:
    """The blocks differ by far more than the scenarios: only the pairing shows it."""
    trials = []
    for block in range(1, 7):
        trials.append(result(2 * block, block, replace(FACTORS, scenario="none"), migration_time_s=10.0 * block))
        trials.append(result(2 * block + 1, block, migration_time_s=10.0 * block + 1 + 0.01 * block))
    (finding,) = said(trials, "scenario")
    assert finding.verdict == "pass"
    assert finding.evidence["migration_time_s"]["n"] == 6
    assert "1.04 s more migration time (1.01 s to 1.06 s)" in finding.text
    assert "Not shown to differ: data, VM pause, network blackout" in finding.text


@pytest.mark.parametrize(
    ("verdicts", "expected", "says"),
    [
        (("intact",), "pass", "Intact in the trial"),
        (("intact", "intact"), "pass", "Intact in all 2 trials"),
        (("intact", "unknown"), "unknown", "Unknown in one trial, intact in one trial. trial 2: because of 2"),
        (
            ("unknown", "guest lost", "intact"),
            "fail",
            "Guest lost in one trial, unknown in one trial, intact in one trial",
        ),
        (("intact", "guest lost", "two copies"), "fail", "trial 3: because of 3; trial 2: because of 2"),
        ((), "unknown", "No trial"),
    ],
)
def test_the_worst_verdicts_are_told_with_what_they_rest_on(
    verdicts: tuple[Verdict, ...], expected: str, says: str
) -> None:
    judged = [
        replace(result(at), judgement=Judgement(verdict, f"because of {at}")) for at, verdict in enumerate(verdicts, 1)
    ]
    (finding,) = said(judged, "verdict")
    assert finding.verdict == expected
    assert says in finding.text
    assert sum(finding.evidence.values()) == len(verdicts)


def test_trials_with_one_reason_are_told_together() -> None:
    judged = [replace(result(at), judgement=Judgement("unknown", "not known: frames")) for at in (1, 2, 3, 7)]
    (finding,) = said(judged, "verdict")
    assert finding.text == "Unknown in 4 trials. trial 1-3, 7: not known: frames."


def test_failures_and_warnings_are_told() -> None:
    noisy = [replace(result(at), warnings=[f"warning {'abcdefgh'[at - 1]}"]) for at in range(1, 9)]
    texts = [finding.text for finding in said([*noisy, result(9, status="failed")], "warning")]
    assert texts[0].startswith("1 of 9 trials failed")
    assert "trial 9: QEMU ended" in texts[0]
    assert texts[1] == "Trial 1: warning a."
    assert texts[-1] == "3 more kinds of warnings are with their trials."


def test_warnings_of_a_kind_are_one_sentence_with_the_worst() -> None:
    slept = ["up to 8.73 ms late (p99 307 µs)", "up to 1.2 s late (p99 9 ms)", "up to 900 µs late (p99 10 µs)"]
    results = [replace(result(at), warnings=[f"the prober slept: {words}"]) for at, words in enumerate(slept, start=1)]
    results.append(replace(result(4), warnings=["the hypervisor took 2.05 %", "the hypervisor took 3 %"]))
    texts = [finding.text for finding in said([*results, result(5)], "warning")]
    assert texts == [
        "The prober slept: up to 1.2 s late (p99 9 ms) (in 3 of 5 trials; at worst, in trial 2).",
        "Trial 4: the hypervisor took 3 %.",
    ]


@pytest.mark.parametrize(("accelerator", "word"), [("tcg", "emulated"), ("none", "fake")])
def test_the_environment_is_told_where_it_matters(accelerator: str, word: str) -> None:
    (finding,) = said([], "environment", accelerator=accelerator)
    assert word in finding.text
    assert said([], "environment", accelerator="kvm") == []
