"""The load of a run: found once, kept for the machine, given by a plan or another run."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from faketrial import FACTORS

from migrascope.model.load import LEAST_RATE, Load, Tried
from migrascope.model.plan import Plan
from migrascope.model.schedule import TrialSpec
from migrascope.store.recording import TrialFacts
from migrascope.store.runfolder import RunError, RunFolder
from migrascope.study.labs.fake import FakeTrials
from migrascope.study.labs.labs import Up
from migrascope.study.plans import text_of
from migrascope.study.runs.load import Chooser, KeptLoads, another_runs, key_of

FACTS = {"lab": "qemu", "accelerator": "tcg", "qemu": "10.0", "guest": "abc"}
FOUND = Load(
    24.0,
    24.0,
    2,
    "found",
    61.0,
    24.0,
    0.48,
    "relay",
    "2026-01-01T00:00:00Z",
    (Tried(5.0, 1.0, 0.2, 2), Tried(24.0, 1.0, 0.48, 2)),
)


class Progress:
    """Takes down what a run says."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def step(self, text: str) -> None:
        self.steps.append(text)

    def waiting(self, text: str) -> None: ...
    def plan(self, specs: Sequence[TrialSpec], finished: int, seconds_each: float) -> None: ...
    def trial_begins(self, spec: Any) -> None: ...
    def phase(self, phase: str) -> None: ...
    def trial_ends(self, recording: Any) -> None: ...


class Lab:
    """A lab whose search finds FOUND, and counts how often it is asked."""

    def __init__(self, folder: Path, plan: Plan, **facts: str) -> None:
        self.searched = 0
        self.progress = Progress()
        up = Up(FACTS | facts, lambda loaded: FakeTrials(loaded).run, self.fit)
        self.chooser = Chooser(plan, up, self.progress, KeptLoads(folder / "loads.json"))

    async def fit(self, plan: Plan) -> Load:
        self.searched += 1
        return FOUND


def plan(**visitors: Any) -> Plan:
    return Plan.model_validate({"visitors": visitors})


async def test_a_load_is_searched_for_once_and_then_kept(tmp_path: Path) -> None:
    first, second = Lab(tmp_path, plan()), Lab(tmp_path, plan())
    assert await first.chooser.choose() == FOUND
    assert first.progress.steps[-1] == "24 visits/s of each kind, 2 viewers: this guest serves 61"
    assert await second.chooser.choose() == replace(FOUND, how="kept")
    assert (first.searched, second.searched) == (1, 0)
    assert second.progress.steps[-1].endswith("(found on this machine before)")


@pytest.mark.parametrize("change", [{"guest": "other"}, {"accelerator": "kvm"}, {"qemu": "11"}, {"lab": "openstack"}])
async def test_what_was_found_for_another_guest_is_not_taken(tmp_path: Path, change: dict[str, str]) -> None:
    await Lab(tmp_path, plan()).chooser.choose()
    other = Lab(tmp_path, plan(), **change)
    await other.chooser.choose()
    assert other.searched == 1


def test_a_kept_load_depends_on_what_observes_and_visits() -> None:
    keys = {key_of(plan(), FACTS), key_of(plan(viewers=3), FACTS), key_of(plan(new_rate=5), FACTS)}
    keys |= {key_of(Plan.model_validate({"probes": {"echo_rate": 50}}), FACTS)}
    assert len(keys) == 4
    assert key_of(Plan.model_validate({"blocks": 2, "seed": 5}), FACTS) in keys


async def test_a_plans_numbers_are_taken_and_said_where_they_are_too_many(tmp_path: Path) -> None:
    lab = Lab(tmp_path, plan(new_rate=100, kept_rate=0))
    load = await lab.chooser.choose()
    assert (load.new_rate, load.kept_rate, load.how, load.fits) == (100, 0, "plan", 24)
    assert "100 visits/s of a kind are more than fits: 24 would" in lab.progress.steps[1]


async def test_a_plan_that_asks_for_little_is_not_measured(tmp_path: Path) -> None:
    lab = Lab(tmp_path, plan(new_rate=LEAST_RATE, kept_rate=LEAST_RATE))
    assert (await lab.chooser.choose()).how == "plan"
    assert lab.searched == 0


async def test_others_clouds_are_asked_for_no_more_than_their_plan_says(tmp_path: Path) -> None:
    lab = Lab(tmp_path, Plan.model_validate({"cloud": {"name": "x"}, "visitors": {"new_rate": 50, "kept_rate": 50}}))
    assert (await lab.chooser.choose()).serves is None
    assert lab.searched == 0


async def test_another_runs_load_is_taken_as_it_is(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "runs", text_of(plan()), {})
    run.keep_load(replace(FOUND, new_rate=7.0, kept_rate=9.0))
    lab = Lab(tmp_path, plan())
    load = await lab.chooser.choose(another_runs(run))
    assert (load.new_rate, load.kept_rate, load.how, load.fits) == (7.0, 9.0, "run", 24.0)


def test_a_run_from_before_loads_were_found_has_its_plans(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path, text_of(plan(new_rate=50.0, kept_rate=40.0)), {})
    assert run.load() is None
    assert (another_runs(run).new_rate, another_runs(run).kept_rate) == (50.0, 40.0)


def test_a_load_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path, text_of(plan()), {})
    for text in ("{", "[]", '{"schema": 9}', '{"schema": 1}', '{"schema": 1, "tried": [], "speed": 1}'):
        (run.path / "load.json").write_text(text)
        with pytest.raises(RunError, match=r"load\.json cannot be read"):
            run.load()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"k": 1}', '{"k": {"schema": 1}}'])
def test_a_damaged_file_of_kept_loads_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "loads.json"
    path.write_text(text)
    kept = KeptLoads(path)
    assert kept.get("k") is None
    kept.put("k", FOUND)
    assert kept.get("k") == replace(FOUND, how="kept")


def test_a_kept_load_that_is_more_than_its_tries_allow_is_none(tmp_path: Path) -> None:
    kept = KeptLoads(tmp_path / "loads.json")
    kept.put("late", replace(FOUND, tried=(*FOUND.tried, Tried(30.0, 0.7, 0.6, 2))))
    kept.put("other viewers", replace(FOUND, tried=(Tried(5.0, 0.5, 0.9, 3), *FOUND.tried)))
    assert kept.get("late") is None
    assert kept.get("other viewers") is not None


def test_only_the_newest_loads_are_kept(tmp_path: Path) -> None:
    kept = KeptLoads(tmp_path / "loads.json")
    for number in range(60):
        kept.put(str(number), FOUND)
    assert list(json.loads((tmp_path / "loads.json").read_text())) == [str(number) for number in range(10, 60)]


def facts(status: str, **more: Any) -> TrialFacts:
    return TrialFacts(1, 1, FACTORS, "host-a", "host-b", "vm-1", "m-1", status, None, {}, facts=more)


@pytest.mark.parametrize("outcome", [facts("overloaded"), facts("ok", guest_busy=0.8)])
async def test_a_load_that_does_not_fit_is_forgotten(tmp_path: Path, outcome: TrialFacts) -> None:
    for times in (1, 2):  # just found, and kept
        lab = Lab(tmp_path, plan())
        for _ in range(times):
            kept = await lab.chooser.choose()
        assert not lab.chooser.outgrown(kept, facts("ok", guest_busy=0.5))
        assert not lab.chooser.outgrown(kept, facts("ok", guest_busy=0.9, declared_load=True))
        assert not lab.chooser.outgrown(replace(FOUND, how="plan"), outcome)
        assert lab.chooser.outgrown(kept, outcome)
        assert lab.chooser.kept.get(lab.chooser.key) is None


async def test_a_kept_load_that_is_far_too_light_is_found_again_by_the_next_run(tmp_path: Path) -> None:
    lab = Lab(tmp_path, plan())
    found = await lab.chooser.choose()
    assert not lab.chooser.outgrown(found, facts("ok", guest_busy=0.2))
    kept = await lab.chooser.choose()
    assert kept.how == "kept"
    assert not lab.chooser.outgrown(kept, facts("ok", guest_busy=0.2))
    assert (await lab.chooser.choose()).how == "found"


def test_a_load_comes_back_from_json_as_it_was() -> None:
    assert Load.from_json(json.loads(json.dumps(FOUND.as_json()))) == FOUND
