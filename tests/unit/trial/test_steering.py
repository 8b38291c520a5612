"""Migrations whose manager changes them while they run: whole trials through the real engine on the fake lab."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from faketrial import SCRIPT, light
from hypothesis import given, settings
from hypothesis import strategies as st

from migrascope.lab.steering import Steering, look_of
from migrascope.metrics.trial import measure
from migrascope.model.controllers import Advised, SetLimit
from migrascope.model.managers import STOP_S, AdvisedLimit
from migrascope.model.schedule import schedule
from migrascope.store.recording import Recording
from migrascope.store.runfolder import RunFolder
from migrascope.study.labs.fake import FakeTrials
from migrascope.study.plans import text_of


def trial(
    folder: Path, policy: dict[str, Any], *, limit: str = "500ms", most: str = "60s", **changes: Any
) -> Recording:
    """One sealed trial of a policy under a downtime limit, cancelled after most. changes: of SCRIPT."""
    plan = light(
        blocks=1, axes={"scenario": ["none"], "policy": ["it"], "downtime_limit": [limit]}, policies={"it": policy},
        windows={"before": "1s", "limit": most},
    )  # fmt: skip
    (spec,) = schedule(plan)
    run = RunFolder.create(folder, text_of(plan), {})
    opened = run.open_trial(1)
    return run.seal_trial(opened, FakeTrials(plan, lambda _: replace(SCRIPT, **changes)).run_now(spec, opened))


def done(recording: Recording) -> list[dict[str, Any]]:
    return [event.data for event in recording.events if event.name == "controller"]


def limits(recording: Recording) -> list[tuple[int, float]]:
    """Whole seconds since the request, and the limit that was read back, of each change."""
    (request,) = [event.mono_ns for event in recording.events if event.name == "migrate_request"]
    changes = [event for event in recording.events if event.name == "controller" and "read_s" in event.data]
    return [((event.mono_ns - request) // 10**9, event.data["read_s"]) for event in changes]


def begun_with(recording: Recording) -> float:
    found: float = recording.trial.settings[recording.trial.source]["parameters"]["downtime-limit"] / 1000
    return found


def limit_in_force(recording: Recording) -> tuple[float | None, str]:
    found = measure(recording)["set_downtime_limit_s"]
    return found.value, found.source


def test_a_migration_without_a_manager_is_not_looked_at(tmp_path: Path) -> None:
    recording = trial(tmp_path, {})
    assert recording.trial.status == "ok"
    assert done(recording) == []
    assert limit_in_force(recording) == (0.5, "settings")


def test_nova_s_steps_end_it_when_one_is_enough(tmp_path: Path) -> None:
    """Of 500 ms in three steps: 166 ms at first, and 111 ms more each 6 s."""
    recording = trial(tmp_path, {"nova": {"steps": 3, "delay": "3s"}}, needs_s=0.35)
    assert recording.trial.status == "ok"
    assert begun_with(recording) == 0.166
    assert limits(recording) == [(6, 0.277), (12, 0.388)]
    assert limit_in_force(recording) == (0.388, "controller")
    assert done(recording)[0]["look"]["remaining"] > 0


def test_nova_s_default_steps_are_too_slow_for_a_guest_of_a_gigabyte(tmp_path: Path) -> None:
    recording = trial(tmp_path, {"nova": {}}, needs_s=0.1)
    assert recording.trial.status == "not-converged"
    assert begun_with(recording) == 0.05
    assert limits(recording) == []


def test_ovirt_raises_its_limit_for_rounds_that_stall(tmp_path: Path) -> None:
    recording = trial(tmp_path, {"ovirt": {"look": "1s"}}, needs_s=0.35)
    assert recording.trial.status == "ok"
    assert begun_with(recording) == 0.1
    assert [limit for _, limit in limits(recording)] == [0.15, 0.2, 0.3, 0.4]


def test_ovirt_gives_up_at_last(tmp_path: Path) -> None:
    recording = trial(tmp_path, {"ovirt": {"look": "1s"}}, needs_s=0.75)
    assert recording.trial.status == "not-converged"
    assert "its manager gave it up after" in (recording.trial.reason or "")
    assert [item["action"] for item in done(recording)] == ["limit"] * 5 + ["abort"]
    assert recording.trial.proof["place"].verdict == "pass"


def test_proxmox_doubles_its_limit_until_it_is_enough(tmp_path: Path) -> None:
    recording = trial(tmp_path, {"proxmox": {}}, needs_s=0.35)
    assert recording.trial.status == "ok"
    assert begun_with(recording) == 0.1
    assert [limit for _, limit in limits(recording)] == [0.2, 0.4]


def test_proxmox_knows_no_limit_of_the_user(tmp_path: Path) -> None:
    recording = trial(tmp_path, {"proxmox": {}}, needs_s=1.3)
    assert limit_in_force(recording) == (1.6, "controller")


def test_ours_raises_the_limit_at_once_to_what_a_round_takes(tmp_path: Path) -> None:
    recording = trial(tmp_path, {"advised": {}}, needs_s=0.35)
    assert recording.trial.status == "ok"
    assert begun_with(recording) == 0.1
    ((at, limit),) = limits(recording)
    assert at < 3
    assert 0.35 <= limit <= 0.45


def test_ours_turns_to_post_copy_where_the_user_bears_no_more(tmp_path: Path) -> None:
    recording = trial(tmp_path, {"advised": {"turn": "post-copy"}}, needs_s=0.9)
    assert recording.trial.status == "ok"
    assert [item["action"] for item in done(recording)] == ["post-copy"]


def test_ours_without_post_copy_does_not_end_rather_than_exceed_what_the_user_bears(tmp_path: Path) -> None:
    recording = trial(tmp_path, {"advised": {}}, needs_s=0.9, most="20s")
    assert recording.trial.status == "not-converged"
    assert [limit for _, limit in limits(recording)] == [0.5 - STOP_S]


@settings(max_examples=30, deadline=None)
@given(needs_s=st.floats(0.02, 3), most_s=st.floats(0.05, 1), first_s=st.floats(0.01, 2))
def test_ours_is_never_told_more_than_the_user_bears(needs_s: float, most_s: float, first_s: float) -> None:
    told: list[float] = []
    first = min(first_s, most_s)
    steering = Steering(Advised(first, most_s), lambda _, what: told.append(what["limit_s"]))
    for at in range(1, 40):
        ram = {"remaining": needs_s * 1e8, "transferred": at * 1e8, "dirty-sync-count": at, "mbps": 800.0}
        action = steering.action(look_of({"status": "active", "ram": ram}, float(at)))
        if isinstance(action, SetLimit):
            steering.done(action, 0, action.limit_s)
    assert all(limit <= most_s for limit in told)
    assert steering.limit_s == pytest.approx(max(first, min(most_s, 1.1 * needs_s)))


def test_a_migration_that_has_not_counted_its_memory_is_not_judged() -> None:
    steering = Steering(Advised(0.1, 0.5), lambda *_: pytest.fail("nothing was to be done"))
    assert steering.action(look_of({"status": "active"}, 5.0)) is None


@pytest.mark.parametrize(("borne_s", "most_s"), [(0.5, 0.435), (0.1, 0.05), (0.03, 0.015)])
def test_ours_leaves_room_for_what_the_guest_stands_beside_the_limit(borne_s: float, most_s: float) -> None:
    controller = AdvisedLimit.model_validate({"first": "2s"}).controller(borne_s, 2**30)
    assert controller.most_s == pytest.approx(most_s)
    assert controller.first_s == pytest.approx(most_s)
