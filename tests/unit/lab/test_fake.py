"""The fake lab: every table, the same for the same seed, and what it says of itself."""

from dataclasses import replace
from pathlib import Path

import pytest
from faketrial import FACTORS, PLAN, record

from fakerun import fake_run
from migrascope.lab.fake.lab import FACTS
from migrascope.lab.fake.script import default_script
from migrascope.model.plan import Plan
from migrascope.model.schedule import TrialSpec, cells, schedule
from migrascope.model.tables import CONSTANTS, TABLES
from migrascope.study.labs.fake import FakeTrials

OF_OTHER_LABS = {
    "api", "libvirt_event", "libvirt_job", "libvirt_log", "host_clock", "announce", "journal", "ceph", "fleet", "ovn",
    "neighbour_state",
}  # fmt: skip
WHERE_ASKED_FOR = {
    "browser",
    "browser_event",
    "back_off",
    "peer_clock",
    "neighbour",
    "boot",
    "hold",
    "capture",
    "stress",
    "sink",
    "sample",
    "stamp_sent",
    "stamp_reply",
    "flow",
    "disturbance",
}
BEFORE_A_RUN = {"tried", "borne"}
RECORDED = set(TABLES) - WHERE_ASKED_FOR - OF_OTHER_LABS - BEFORE_A_RUN


def test_a_trial_has_every_table_with_its_columns_and_rows(tmp_path: Path) -> None:
    recording = record(tmp_path)
    assert set(recording.trial.tables) == RECORDED
    for name in RECORDED:
        table = recording.table(name)
        assert table.columns == [*TABLES[name].columns, *CONSTANTS]
        assert table.height == recording.trial.tables[name] > 0
        assert table.null_count().sum_horizontal()[0] == 0


def test_the_same_seed_gives_the_same_recording_and_another_another(tmp_path: Path) -> None:
    def recorded(folder: str, seed: int) -> dict[str, list[tuple[object, ...]]]:
        plan = Plan.model_validate({"blocks": 1, "seed": seed, "axes": {"scenario": ["offline"]}})
        run = fake_run(tmp_path / folder, plan)
        (recording,) = run.recordings()
        return {name: recording.table(name).rows() for name in RECORDED}

    first, again, other = recorded("a", 1), recorded("b", 1), recorded("c", 2)
    assert first == again
    assert first["echo_reply"] != other["echo_reply"]
    assert first["link"] != other["link"]


def test_it_says_that_it_is_fake(tmp_path: Path) -> None:
    facts = record(tmp_path).trial
    assert {key: facts.facts.pop(key) for key in FACTS} == {"lab": "fake", "accelerator": "none", "qemu": "none"}
    assert set(facts.facts) == {"boot_s", "echo_kind", "declared_load", "guest_busy"}
    assert facts.plan["windows"]["before"] == 3.0
    assert facts.plan["axes"]["link"] == [1e9]
    assert facts.settings["links"]["migration"] == 1e9


def test_without_probes_only_the_hypervisor_the_links_and_the_ledger_are_recorded(tmp_path: Path) -> None:
    recording = record(tmp_path, factors=replace(FACTORS, probes="none"))
    assert set(recording.trial.tables) == {"qmp_event", "qmp_status", "link", "ledger"}
    assert recording.table("link")["mono_ns"].n_unique() == 2


def test_truths_follow_the_factors() -> None:
    plan = Plan.model_validate({"axes": {"downtime_limit": ["300ms", "50ms"], "cache": ["warm", "cold"]}})
    trials = FakeTrials(plan)
    scripts = {spec.factors: trials.script(spec) for spec in schedule(plan)[: len(cells(plan))]}
    for factors, script in scripts.items():
        assert script.reported_downtime_s <= factors.downtime_limit_s
        assert script.reported_downtime_s < script.pause_s < script.gap_s
        if factors.scenario == "offline" and factors.cache == "warm":
            others = [s.data_bytes for f, s in scripts.items() if f.scenario == "none"]
            assert script.data_bytes > max(others) + 90e6


def test_trials_do_not_share_their_chance() -> None:
    specs = [TrialSpec(number, 1, FACTORS, "host-a", "host-b") for number in (1, 2)]
    assert default_script(specs[0], 1) == default_script(specs[0], 1)
    assert default_script(specs[0], 1) != default_script(specs[1], 1)
    assert default_script(specs[0], 1) != default_script(specs[0], 2)


@pytest.mark.parametrize(("failure", "status"), [("source-killed", "failed"), ("not-converged", "not-converged")])
def test_a_failure_is_in_the_facts(tmp_path: Path, failure: str, status: str) -> None:
    facts = record(tmp_path, failure=failure).trial
    assert facts.status == status
    assert facts.reason


def test_no_viewer_plays_where_the_page_has_no_video(tmp_path: Path) -> None:
    plan = PLAN.model_copy(update={"axes": PLAN.axes.model_copy(update={"scenario": ["none"]})})
    spec = schedule(plan)[0]
    tmp_path.mkdir(exist_ok=True)
    FakeTrials(plan).run_now(spec, tmp_path)
    assert not list(tmp_path.glob("segment@*"))
