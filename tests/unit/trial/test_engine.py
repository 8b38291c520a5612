"""Whole trials through the real engine on the fake lab: good, failed, disturbed, aborted, cut short, and fleets."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import polars as pl
import pytest
from faketrial import SCRIPT, light

from migrascope.lab.fake.faults import FakeInjector
from migrascope.lab.fake.lab import SITE, FakeLab
from migrascope.lab.fake.time import NS, VirtualClock, run_virtually
from migrascope.metrics.trial import measure
from migrascope.model.clock import mono_ns
from migrascope.model.events import PHASES
from migrascope.model.postcheck import PostCheck
from migrascope.model.problem import Problem
from migrascope.model.schedule import schedule
from migrascope.store.events import read_events
from migrascope.store.recording import Recording, TrialFacts
from migrascope.store.runfolder import RunFolder
from migrascope.study.labs.fake import FakeTrials
from migrascope.study.plans import text_of
from migrascope.trial.engine import TrialEngine
from migrascope.trial.fleet import FleetEngine
from migrascope.trial.setup import Part, Setup, arranged


def trial(folder: Path, disturbance: dict[str, Any] | None = None, *, fleet: int = 0, **changes: Any) -> Recording:
    """One sealed trial. disturbance: its table; changes: of SCRIPT; fleet: so many instances."""
    parts: dict[str, Any] = {"blocks": 1, "axes": {"scenario": ["none"]}, "windows": {"before": "1s", "limit": "20s"}}
    if disturbance is not None:
        parts["axes"]["disturbance"] = ["it"]
        parts["disturbance"] = [{"name": "it", **disturbance}]
    if fleet:
        parts |= fleet_of(fleet)
    plan = light(**parts)
    (spec,) = schedule(plan)
    run = RunFolder.create(folder, text_of(plan), {})
    opened = run.open_trial(1)
    trials = FakeTrials(plan, lambda _: replace(SCRIPT, **changes))
    return run.seal_trial(opened, trials.run_now(spec, opened))


def fleet_of(count: int) -> dict[str, Any]:
    """Fleets belong to plans of the lab openstack."""
    return {"lab": {"kind": "openstack"}, "fleet": {"count": [count]}}


def phases(recording: Recording) -> list[str]:
    return [str(event.data["phase"]) for event in recording.events if event.name == "phase"]


def event(recording: Recording, name: str) -> dict[str, Any]:
    (found,) = [item for item in recording.events if item.name == name]
    return found.data


def disturbed(recording: Recording) -> dict[str, Any]:
    return recording.table("disturbance").row(0, named=True)


def took_s(recording: Recording) -> float:
    found = measure(recording)["migration_time_s"].value
    assert found is not None
    return found


CUT = {"kind": "link-down", "target": "migration", "when": "round:2", "duration": "2s"}
UNDISTURBED_S = SCRIPT.precopy_s + SCRIPT.pause_s + 0.004


def test_a_good_trial_goes_through_every_phase_in_order(tmp_path: Path) -> None:
    recording = trial(tmp_path)
    assert (recording.trial.status, recording.trial.reason) == ("ok", None)
    assert {found.verdict for found in recording.trial.proof.values()} == {"pass"}
    assert phases(recording) == [phase for phase in PHASES if phase != "sample"]
    assert recording.trial.facts["lab"] == "fake"
    assert event(recording, "migrate_done")["answer"]["status"] == "completed"
    assert took_s(recording) == pytest.approx(UNDISTURBED_S, abs=1e-5)
    assert not list(recording.folder.glob("*.jsonl"))


def test_a_trial_takes_a_minute_of_virtual_time_and_begins_where_its_clock_does(tmp_path: Path) -> None:
    first, last = (trial(tmp_path).events[at] for at in (0, -1))
    assert first.mono_ns == 2000 * NS
    assert 10 * NS < last.mono_ns - first.mono_ns < 60 * NS


def test_a_migration_that_fails_leaves_the_guest_where_it_was(tmp_path: Path) -> None:
    recording = trial(tmp_path, failure="destination-died")
    assert recording.trial.status == "failed"
    assert recording.trial.reason == "the QEMU on the destination ended in pre-copy"
    assert event(recording, "migrate_failed")["reason"] == recording.trial.reason
    assert recording.trial.proof["place"] == PostCheck("pass", f"running on {recording.trial.source}")
    assert recording.trial.proof["incarnation"].verdict == "pass"
    assert phases(recording)[-4:] == ["settle", "after", "drain", "collect"]


def test_a_guest_that_dies_in_its_switchover_is_not_waited_for(tmp_path: Path) -> None:
    recording = trial(tmp_path, failure="source-killed")
    assert recording.trial.status == "failed"
    assert "settle" not in phases(recording)
    verdicts = {name: found.verdict for name, found in recording.trial.proof.items()}
    assert (verdicts["place"], verdicts["heartbeat"], verdicts["incarnation"]) == ("fail", "fail", "unknown")


def test_a_migration_that_does_not_converge_is_cancelled_at_the_plan_s_limit(tmp_path: Path) -> None:
    recording = trial(tmp_path, failure="not-converged")
    assert recording.trial.status == "not-converged"
    assert recording.trial.reason == "still active after 20 s; cancelled"
    stamps = {item.name: item.mono_ns for item in recording.events}
    assert stamps["migrate_failed"] - stamps["migrate_request"] == pytest.approx(20 * NS, abs=1000)


def test_a_cut_of_the_migration_link_stops_the_copying_as_long(tmp_path: Path) -> None:
    recording = trial(tmp_path, CUT)
    assert recording.trial.status == "ok"
    assert took_s(recording) == pytest.approx(UNDISTURBED_S + 2, abs=1e-5)
    row = disturbed(recording)
    second = recording.table("qmp_event").filter(pl.col("data") == json.dumps({"pass": 2}))
    assert row["due_ns"] == second["recv_ns"][0] - 500_000
    assert row["healed_ns"] - row["effect_ns"] == 2 * NS


def test_a_guest_that_stands_still_is_heard_again(tmp_path: Path) -> None:
    freeze = {"kind": "qemu-freeze", "target": "source", "when": "first-copy", "duration": "1s"}
    recording = trial(tmp_path, freeze)
    assert recording.trial.status == "ok"
    assert recording.trial.facts["rescue"]["operator"] == []
    rows = recording.table("echo_reply").sort("recv_wall_ns")
    longest = rows["recv_wall_ns"].diff().max()
    assert longest == pytest.approx(1 * NS, abs=0.05 * NS)
    assert took_s(recording) == pytest.approx(UNDISTURBED_S + 1, abs=1e-5)


def test_an_operator_boots_a_killed_guest_again(tmp_path: Path) -> None:
    recording = trial(tmp_path, {"kind": "qemu-kill", "target": "source", "when": "round:2"})
    assert recording.trial.status == "failed"
    assert recording.trial.facts["rescue"]["operator"] == ["boot it again"]
    assert recording.trial.proof["incarnation"].verdict == "fail"
    assert recording.trial.proof["place"].verdict == "pass"


@pytest.mark.parametrize("when", ["setup", "round:3", "switchover"])
def test_an_aborted_migration_is_cancelled_and_the_guest_runs_on(tmp_path: Path, when: str) -> None:
    recording = trial(tmp_path, {"kind": "abort", "when": when})
    assert recording.trial.status == "failed"
    assert recording.trial.reason == "the migration was cancelled"
    assert {found.verdict for found in recording.trial.proof.values()} == {"pass"}
    assert disturbed(recording)["note"] == ""


def test_load_in_the_guest_is_begun_by_its_agent_and_recorded(tmp_path: Path) -> None:
    load = {"kind": "guest-memory", "write_rate": "10MB/s", "working_set": "64MiB", "when": "trial"}
    recording = trial(tmp_path, load)
    assert recording.trial.status == "ok"
    assert recording.trial.facts["declared_load"] is True
    rows = recording.table("stress")
    rate = (rows["bytes"][-1] - rows["bytes"][0]) * NS / (rows["asked_ns"][-1] - rows["asked_ns"][0])
    assert rate == pytest.approx(10e6, rel=0.05)


def test_a_phase_that_never_comes_is_noted(tmp_path: Path) -> None:
    cut = {"kind": "link-down", "target": "migration", "when": "round:9", "duration": "1s"}
    recording = trial(tmp_path, cut)
    assert (disturbed(recording)["effect_ns"], disturbed(recording)["note"]) == (0, "round:9 never came")


def test_what_the_world_does_not_know_is_noted(tmp_path: Path) -> None:
    slow = {"kind": "host-cpu", "target": "source", "workers": 1, "when": "first-copy", "duration": "1s"}
    assert "feels nothing" in disturbed(trial(tmp_path, slow))["note"]


def test_an_injector_s_own_fault_ends_the_trial_once_all_is_healed_and_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    healed: list[bool] = []

    def broken() -> str:
        raise KeyError("a mistake in the injector")

    class Broken(FakeInjector):
        async def heal(self) -> str | None:
            healed.append(True)
            return await super().heal()

    monkeypatch.setattr("migrascope.lab.fake.faults.injector", lambda *_: Broken(broken))
    plan = light(blocks=1, axes={"scenario": ["none"], "disturbance": ["it"]}, disturbance=[{"name": "it", **CUT}])
    (spec,) = schedule(plan)
    with pytest.raises(KeyError, match="a mistake in the injector"):
        FakeTrials(plan).run_now(spec, tmp_path)
    assert healed
    assert "not applied: KeyError" in next(tmp_path.glob("disturbance@*")).read_text()


def on_lab(folder: Path, meddle: Any) -> tuple[TrialFacts, FakeLab]:
    """A trial in which `meddle(lab)` goes on beside the engine."""
    plan = light(blocks=1, axes={"scenario": ["none"]})
    (spec,) = schedule(plan)
    folder.mkdir(exist_ok=True)
    clock = VirtualClock(1000 * NS)

    async def work() -> tuple[TrialFacts, FakeLab]:
        with FakeLab.up(clock, lambda _: SCRIPT) as lab:
            engine = TrialEngine(lab, plan, lambda phase: None, SITE, lab.runtime)
            meddling = asyncio.ensure_future(meddle(lab))
            try:
                return await engine.run(spec, folder), lab
            finally:
                meddling.cancel()

    return run_virtually(clock, work)


def test_a_trial_whose_guest_dies_before_the_migration_ends_early(tmp_path: Path) -> None:
    async def kill(lab: FakeLab) -> None:
        await asyncio.sleep(5)
        (world,) = lab.worlds.values()
        world.kill(world.source, "it was killed")

    facts, lab = on_lab(tmp_path, kill)
    assert (facts.status, facts.reason) == ("failed", "it was killed")
    assert "migrate_request" not in (tmp_path / "events.ndjson").read_text()
    assert lab.worlds == {}


def test_a_guest_that_does_not_boot_fails_its_trial(tmp_path: Path) -> None:
    async def dead(lab: FakeLab) -> None:
        await asyncio.sleep(1)
        (world,) = lab.worlds.values()
        world.kill(world.source, "no kernel")

    facts, lab = on_lab(tmp_path, dead)
    assert (facts.status, facts.reason) == ("failed", "the guest did not boot: no kernel")
    assert lab.worlds == {}


def test_a_cancelled_trial_leaves_no_instance_and_no_program(tmp_path: Path) -> None:
    plan = light(blocks=1, axes={"scenario": ["none"]})
    (spec,) = schedule(plan)
    clock = VirtualClock(1000 * NS)

    async def work() -> dict[str, Any]:
        with FakeLab.up(clock, lambda _: SCRIPT) as lab:
            running = asyncio.ensure_future(
                TrialEngine(lab, plan, lambda _: None, SITE, lab.runtime).run(spec, tmp_path)
            )
            await asyncio.sleep(7)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            assert running.cancelled()
            assert asyncio.all_tasks() == {asyncio.current_task()}
            return dict(lab.worlds)

    assert run_virtually(clock, work) == {}


def test_a_fleet_migrates_and_is_recorded(tmp_path: Path) -> None:
    recording = trial(tmp_path, fleet=3)
    assert (recording.trial.status, recording.trial.factors.instances) == ("ok", 3)
    assert phases(recording) == ["arrange", "before", "migrate", "after", "drain", "collect"]
    found = measure(recording)
    assert found["fleet.migrated"].value == 3
    assert sorted(recording.table("echo_sent")["instance"].unique()) == ["vm-1", "vm-2", "vm-3"]


def test_a_fleet_that_does_not_converge_is_cancelled(tmp_path: Path) -> None:
    recording = trial(tmp_path, fleet=2, failure="not-converged")
    assert recording.trial.status == "failed"
    assert recording.trial.reason == ("2 of 2 did not migrate; vm-1: stuck: none of the fleet ended in 20 s; cancelled")


def test_of_a_fleet_the_instance_that_dies_is_named_and_the_others_migrate(tmp_path: Path) -> None:
    plan = light(blocks=1, axes={"scenario": ["none"]}, **fleet_of(3))
    (spec,) = schedule(plan)
    clock = VirtualClock(1000 * NS)
    scripts = {2: replace(SCRIPT, failure="source-killed")}

    async def work() -> TrialFacts:
        with FakeLab.up(clock, lambda at: scripts.get(at, SCRIPT)) as lab:
            facts = await FleetEngine(lab, plan, lambda phase: None, lab.runtime).run(spec, tmp_path)
            assert lab.worlds == {}
            return facts

    facts = run_virtually(clock, work)
    assert facts.status == "failed"
    assert facts.reason == (
        "1 of 3 did not migrate; vm-2: server in ERROR: the QEMU on the source was killed after STOP"
    )
    done = [item.instance for item in read_events(tmp_path / "events.ndjson") if item.name == "migrate_done"]
    assert sorted(done) == ["vm-1", "vm-3"]


async def test_parts_are_taken_down_in_the_opposite_order_whatever_happens() -> None:
    did: list[str] = []

    def part(name: str, *, fails: bool = False) -> Part[Setup]:
        @asynccontextmanager
        async def made(trial: Setup) -> AsyncIterator[None]:
            if fails:
                raise Problem(name)
            did.append(name)
            try:
                yield
            finally:
                did.append(f"-{name}")

        return made

    with pytest.raises(Problem, match="third"):
        async with arranged(cast(Setup, None), (part("first"), part("second"), part("third", fails=True))):
            did.append("inside")
    assert did == ["first", "second", "-second", "-first"]


def test_what_can_never_happen_is_not_waited_for() -> None:
    async def forever() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="virtual time stands still"):
        run_virtually(VirtualClock(0), forever)


def test_virtual_time_is_seen_inside_alone() -> None:
    async def hour() -> tuple[int, int]:
        began = mono_ns()
        await asyncio.sleep(3600)
        return began, mono_ns()

    before = mono_ns()
    assert run_virtually(VirtualClock(5 * NS), hour) == (5 * NS, 3605 * NS)
    assert mono_ns() - before < 600 * NS
