"""What API, libvirt, journals and taps say of a migration, on a scripted trial whose truths are known."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from cloudtrial import ANSWER, MS, POLL, Cloud, S, api_only, record
from faketrial import record as record_qemu

from migrascope.metrics import openstack, steps
from migrascope.metrics.hostclock import HostClock, Reading
from migrascope.metrics.trial import examine, measure
from migrascope.metrics.windows import windows_of
from migrascope.model.measured import Measured
from migrascope.store.recording import Recording

NEW = ("api_", "libvirt_", "step_s.", "wiring.", "network_wiring_s")
OF_API = ("api_", "network_blackout", "http_", "probe.rtt_", "probe.loss_ratio.", "probe.late_", "visitor.")


def truth(recording: Recording) -> Cloud:
    return Cloud(recording, windows_of(recording))


def _ahead(answer: str, seconds: int) -> str:
    """Instance actions whose stamps are so many seconds later."""
    actions = json.loads(answer)
    for event in actions[0]["events"]:
        for stamp in ("start_time", "finish_time"):
            event[stamp] = (datetime.fromisoformat(event[stamp]) + timedelta(seconds=seconds)).isoformat()
    return json.dumps(actions)


def near(measured: Measured, truth_s: float) -> bool:
    """Whether a polled moment lies within its own bound of the truth."""
    assert measured.value is not None
    assert measured.bound is not None
    assert measured.bound <= (POLL + ANSWER) / 2 / S + 1e-9
    return abs(measured.value - truth_s) <= measured.bound


def test_on_another_lab_each_says_why_it_is_not_there(tmp_path: Path) -> None:
    measured_there = measure(record_qemu(tmp_path)).items()
    found = {key: measured for key, measured in measured_there if key.startswith(NEW) and "ipv6" not in key}
    assert len(found) == 39
    assert {measured.value for measured in found.values()} == {None}
    reasons = {measured.reason for measured in found.values()}
    assert reasons == {
        "no cloud's API was polled",
        "no API was asked to migrate",
        "no libvirt was in reach",
        "nobody followed the instance's frames",
    }


def test_states_are_found_within_the_polls_own_error(tmp_path: Path) -> None:
    recording = record(tmp_path)
    found, cloud = measure(recording), truth(recording)
    resume = (cloud.resume - cloud.request) / S
    assert found["api_accept_s"].value == pytest.approx(0.2)
    assert near(found["api_task_s"], 0.0)
    assert near(found["api_binding_s.created"], 0.3)
    assert near(found["api_record_s.preparing"], 0.4)
    assert near(found["api_record_s.running"], 0.4)
    assert near(found["api_binding_s.active"], resume)
    assert near(found["api_active_s"], resume + 0.5)
    assert near(found["api_record_s.completed"], resume + 1)
    assert near(found["api_binding_s.removed"], resume + 1)
    assert near(found["api_migration_time_s"], resume + 1)
    assert found["api_memory_bytes"].value == 5e7
    assert found["api_disk_bytes"].value == 0


def test_a_state_that_was_there_before_the_request_is_none(tmp_path: Path) -> None:
    polls = [openstack.Poll(at, at + 1, at) for at in (0, 10, 20, 30)]
    assert openstack.first(polls, 5, lambda at: at >= 0) == openstack.Seen(5, 11)
    assert openstack.first(polls, 5, lambda at: at >= 30) == openstack.Seen(20, 31)
    assert openstack.first(polls, 5, lambda at: at > 30) is None
    assert openstack.first(polls, None, lambda at: True) is None


def test_an_answer_under_way_at_the_request_tells_nothing(tmp_path: Path) -> None:
    polls = [openstack.Poll(0, 10, True), openstack.Poll(12, 14, True)]
    assert openstack.first(polls, 5, bool) == openstack.Seen(5, 14)


def test_counts_that_nova_never_wrote_are_not_zero(tmp_path: Path) -> None:
    found = measure(record(tmp_path, counts=False))
    assert found["api_memory_bytes"].value is None
    assert "every 5 s" in (found["api_memory_bytes"].reason or "")


def test_a_record_that_we_may_not_see(tmp_path: Path) -> None:
    found = measure(record(tmp_path, record=False))
    assert found["api_record_s.completed"].value is None
    assert found["api_migration_time_s"].value is None
    assert found["api_active_s"].value is not None


def test_libvirts_figures_have_keys_of_their_own(tmp_path: Path) -> None:
    recording = record(tmp_path)
    found = measure(recording)
    values = [
        found[f"libvirt_{name}"].value for name in ("total_s", "downtime_s", "downtime_net_s", "transferred_bytes")
    ]
    assert values == pytest.approx([1.9, 0.23, 0.229, 150_000_000])
    assert found["reported_downtime_s"].value == 0.16
    assert found["reported_downtime_s"].source == "query-migrate"


def test_the_completed_job_stands_in_for_the_event(tmp_path: Path) -> None:
    found = measure(record(tmp_path, drop=("libvirt_event",)))
    assert found["libvirt_total_s"].value is None
    assert found["libvirt_total_s"].reason == "no libvirt was in reach"


def test_hosts_whose_clocks_are_not_known_have_no_pause(tmp_path: Path) -> None:
    recording = record(tmp_path, one_clock=False)
    found = measure(recording)
    assert found["vm_pause_s"].value is None
    assert "clocks" in (found["vm_pause_s"].reason or "")
    assert windows_of(recording).stop is not None


HOSTS = {"host-a": 7 * S + 3, "host-b": -40 * MS}


def test_two_clocks_that_were_read_give_the_pause_within_its_bound(tmp_path: Path) -> None:
    near_by = record(tmp_path / "one")
    apart = record(tmp_path / "two", one_clock=False, clocks_ns=HOSTS)
    truth_s, found = measure(near_by)["vm_pause_s"].value, measure(apart)["vm_pause_s"]
    assert truth_s is not None
    assert found.value is not None
    assert found.bound is not None
    assert 0.002 < found.bound < 0.004  # half of either bracket, and the drift from the reading next to the event
    assert abs(found.value - truth_s) <= found.bound
    ours, theirs = windows_of(near_by), windows_of(apart)
    for name in ("stop", "resume"):
        assert abs(getattr(ours, name) - getattr(theirs, name)) < 2 * MS


def test_a_slow_reading_bounds_less(tmp_path: Path) -> None:
    found = measure(record(tmp_path, one_clock=False, clocks_ns=HOSTS, bracket_ns=40 * MS))["vm_pause_s"]
    assert found.bound is not None
    assert 0.040 < found.bound < 0.042


def test_one_clock_that_was_read_is_not_enough(tmp_path: Path) -> None:
    found = measure(record(tmp_path, one_clock=False, clocks_ns={"host-a": 0}))["vm_pause_s"]
    assert (found.value, found.reason) == (None, "by how much the hosts' clocks differ is not known")


class TestHostClock:
    readings = tuple(Reading(at * S, at * S + 2 * MS, at * S + MS + 100 * S) for at in range(10))

    def test_a_stamp_next_to_a_reading_is_known_best(self) -> None:
        clock = HostClock(self.readings)
        near, far = clock.to_mono(105 * S + MS), clock.to_mono(120 * S)
        assert near == (5 * S + MS, MS + 1000)
        assert far[0] == 20 * S
        assert far[1] == pytest.approx(MS + 1000 + 1e-3 * (11 * S - MS))

    def test_a_step_is_seen_and_a_drift_is_none(self) -> None:
        assert HostClock(self.readings).step_ns() == 0
        drifting = tuple(
            replace(reading, wall_ns=reading.wall_ns + at * MS // 2) for at, reading in enumerate(self.readings)
        )
        assert HostClock(drifting).step_ns() == 0
        stepped = tuple(
            replace(reading, wall_ns=reading.wall_ns + 50 * MS * (at > 4)) for at, reading in enumerate(self.readings)
        )
        assert HostClock(stepped).step_ns() == pytest.approx(50 * MS - 2 * (MS + 1000) - 1e-3 * (S + 2 * MS))


class TestSteps:
    def test_they_add_up_from_the_request_to_the_end(self, tmp_path: Path) -> None:
        found = measure(record(tmp_path))
        values = [found[f"step_s.{name}"].value for name in steps.STEPS]
        assert None not in values
        assert sum(value for value in values if value is not None) == pytest.approx(
            found["api_record_s.completed"].value
        )

    def test_the_journal_is_finer_than_the_action(self, tmp_path: Path) -> None:
        fine = measure(record(tmp_path / "a"))["step_s.pre_live_migration"]
        coarse = measure(record(tmp_path / "b", drop=("journal",)))["step_s.pre_live_migration"]
        assert fine.value == pytest.approx(0.4)
        assert fine.source == "journal"
        assert (coarse.bound, coarse.source) == (1.0, "instance action")
        assert coarse.value in (0.0, 1.0)

    def test_a_clock_that_nobody_has_read_gives_no_step(self, tmp_path: Path) -> None:
        """The action's stamps are the conductor's, which on a cloud of others may be seconds off."""
        found = measure(record(tmp_path, one_clock=False))
        for name in ("scheduling", "check_destination", "check_source", "port_binding", "pre_live_migration"):
            measured = found[f"step_s.{name}"]
            assert measured.value is None, name
            assert "nobody knows the clock" in (measured.reason or ""), name
        assert found["step_s.accept"].value is not None
        assert found["step_s.completion"].value is not None

    def test_a_journal_is_read_by_its_host_s_clock(self, tmp_path: Path) -> None:
        found = measure(record(tmp_path, one_clock=False, clocks_ns={"host-a": 0, "host-b": -40 * MS}))
        measured = found["step_s.pre_live_migration"]
        assert measured.value == pytest.approx(0.4)
        assert measured.bound is not None
        assert measured.bound > 0.012

    def test_what_ends_before_it_began_is_no_step(self, tmp_path: Path) -> None:
        """The conductor's clock is 7 s ahead, unlike that of the machine which polled the bindings."""
        recording = record(tmp_path, drop=("journal",))
        path = recording.folder / "api.parquet"
        rows = pl.read_parquet(path)
        answers = [
            _ahead(answer, 7) if what == "actions" else answer for what, answer in rows.select("what", "answer").rows()
        ]
        rows.with_columns(answer=pl.Series(answers)).write_parquet(path)
        measured = measure(Recording(recording.folder))["step_s.port_binding"]
        assert measured.value is None
        assert "before its beginning" in (measured.reason or "")

    def test_a_sum_carries_the_sum_of_the_bounds(self, tmp_path: Path) -> None:
        found = measure(record(tmp_path))
        inner, outer = found["step_s.check_source"].bound, found["step_s.check_destination"].bound
        assert inner == 1.0
        assert outer == 2.0
        assert dict(found["step_s.check_destination"].errors) == {"resolution": 2.0}
        two = dict(found["step_s.pre_live_migration"].errors)
        assert two == pytest.approx({"resolution": 0.012})

    def test_those_that_the_hypervisor_tells(self, tmp_path: Path) -> None:
        recording = record(tmp_path)
        found, cloud = measure(recording), truth(recording)
        assert found["step_s.switchover"].value == pytest.approx((cloud.resume - cloud.stop) / S)
        assert found["step_s.port_activation"].value == pytest.approx(0.03)
        assert found["step_s.start"].value is not None


class TestWiring:
    def test_a_network_that_leaves_before_the_stop(self, tmp_path: Path) -> None:
        found = measure(record(tmp_path, early_ns=400 * MS))
        assert found["network_wiring_s"].value == pytest.approx(0.4, abs=1e-6)
        assert found["wiring.left_s"].value == pytest.approx(-0.4, abs=1e-6)
        assert found["wiring.came_s"].value == pytest.approx(-0.398, abs=1e-6)

    def test_a_network_that_comes_after_the_resume(self, tmp_path: Path) -> None:
        found = measure(record(tmp_path, early_ns=0, late_ns=700 * MS))
        assert found["network_wiring_s"].value == pytest.approx(0.7, abs=1e-6)

    def test_one_that_moves_while_the_vm_stands_still_has_no_share(self, tmp_path: Path) -> None:
        assert measure(record(tmp_path, early_ns=-10 * MS))["network_wiring_s"].value == 0

    def test_what_follows_the_resume(self, tmp_path: Path) -> None:
        found = measure(record(tmp_path))
        seen = [found[f"wiring.{name}_s"].value for name in ("announced", "heard", "spoke", "router")]
        assert seen == [pytest.approx(value, abs=1e-6) for value in (0.001, 0.003, 0.06, 0.061)]


class TestApiAlone:
    """A cloud of which nothing but its API is in reach."""

    def test_every_metric_of_the_api_and_the_visitors_is_there(self, tmp_path: Path) -> None:
        found = measure(api_only(tmp_path))
        wanted = [key for key in found if key.startswith(OF_API) and "ipv6" not in key]
        assert len(wanted) > 30
        assert [key for key in wanted if found[key].value is None] == []

    def test_those_of_the_hypervisor_say_why_not(self, tmp_path: Path) -> None:
        found = measure(api_only(tmp_path))
        absent = ("migration_time_s", "vm_pause_s", "reported_total_s", "libvirt_total_s", "data_transferred_bytes")
        for key in (*absent, "rounds", "step_s.copy", "step_s.switchover", "network_wiring_s"):
            assert found[key].value is None, key
            assert found[key].reason

    def test_steps_that_the_api_tells(self, tmp_path: Path) -> None:
        found = measure(api_only(tmp_path))
        for name in ("accept", "scheduling", "check_destination", "check_source", "pre_live_migration", "completion"):
            assert found[f"step_s.{name}"].value is not None, name

    def test_the_windows_are_there(self, tmp_path: Path) -> None:
        assert examine(api_only(tmp_path)).windows.during is not None
