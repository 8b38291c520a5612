"""When a disturbance begins and ends: the trigger that waits for a phase, and what heals it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrascope.model.clock import mono_ns
from migrascope.model.disturbance import Disturbance
from migrascope.model.kinds.kind import PHASES, STORAGE_COPY
from migrascope.model.phase import CLOCK_JOB, Trigger, phase_of
from migrascope.node.wait import wait_until
from migrascope.store.spool import read, spools
from migrascope.trial.disturbing import Disturbing

EVENTS: st.SearchStrategy[tuple[str, dict[str, Any]]] = st.one_of(
    st.tuples(st.just("STOP"), st.just({})),
    st.tuples(st.just("RESUME"), st.just({})),
    st.tuples(st.just("MIGRATION_PASS"), st.integers(1, 4).map(lambda number: {"pass": number})),
    st.tuples(
        st.just("MIGRATION"),
        st.sampled_from(["setup", "active", "device", "postcopy-active", "completed"]).map(lambda s: {"status": s}),
    ),
    st.tuples(
        st.just("JOB_STATUS_CHANGE"),
        st.sampled_from(["created", "running", "ready", "concluded"]).map(lambda s: {"id": "drive-vda", "status": s}),
    ),
)


@given(st.sampled_from([STORAGE_COPY, *PHASES, "round:2", "round:3"]), st.lists(EVENTS), st.lists(EVENTS))
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


def test_a_volume_s_copy_begins_when_its_job_runs_and_not_when_a_clock_is_read() -> None:
    assert phase_of("JOB_STATUS_CHANGE", {"id": "drive-virtio-disk0", "status": "running"}) == STORAGE_COPY
    assert phase_of("JOB_STATUS_CHANGE", {"id": "drive-virtio-disk0", "status": "ready"}) is None
    assert phase_of("JOB_STATUS_CHANGE", {"id": f"{CLOCK_JOB}-3", "status": "running"}) is None


class Recorder:
    """An injector that writes down what it is told."""

    def __init__(self, *, fails: bool = False, error: Exception | None = None, note: str | None = None) -> None:
        self.done: list[str] = []
        self.error, self.note = error or (OSError("no such port") if fails else None), note

    async def arm(self) -> None:
        self.done.append("arm")

    async def apply(self) -> str:
        self.done.append("apply")
        if self.error is not None:
            raise self.error
        return ""

    async def heal(self) -> str | None:
        self.done.append("heal")
        note, self.note = self.note, None
        return note


def disturbed(folder: Path, injector: Recorder, *events: str, duration: str = "10ms", awaited: str = "") -> list[Any]:
    """The recorded row of a disturbance at the first copy, after these statuses of a migration that was asked for."""
    table = {"kind": "link-down", "target": "migration", "when": "first-copy", "duration": duration}

    async def play() -> None:
        disturbing = Disturbing(Disturbance.model_validate({"name": "cut", **table}), injector)
        disturbing.request()
        for status in events:
            disturbing.see("MIGRATION", {"status": status}, mono_ns())
        if awaited:
            await wait_until(
                lambda: asyncio.sleep(0, awaited in injector.done), 5, f"the injector is told to {awaited}"
            )
        await disturbing.end(folder, "vm-1", "m-1")
        await disturbing.end(folder, "vm-1", "m-1")

    asyncio.run(play())
    (path,) = spools(folder)
    (found,) = read(path)[1]
    return list(found)


def test_it_is_applied_at_its_phase_and_healed_after_its_duration(tmp_path: Path) -> None:
    injector = Recorder()
    name, *_, due, asked, effect, healed, note = disturbed(tmp_path, injector, "setup", "active", awaited="heal")
    assert injector.done[:2] == ["apply", "heal"]
    assert (name, note) == ("cut", "")
    assert due <= asked <= effect
    assert healed - effect >= 10_000_000


def test_the_end_of_the_trial_heals_it(tmp_path: Path) -> None:
    injector = Recorder()
    *_, effect, healed, _ = disturbed(tmp_path, injector, "setup", duration="10min")
    assert injector.done == ["heal"]
    assert (effect, healed) == (0, 0)


def test_one_that_cannot_be_applied_says_why_and_is_healed(tmp_path: Path) -> None:
    injector = Recorder(fails=True)
    *_, effect, _, note = disturbed(tmp_path, injector, "active", awaited="apply")
    assert injector.done[-1] == "heal"
    assert effect == 0
    assert note == "not applied: no such port"


def test_a_fault_of_an_injector_s_own_is_recorded_and_ends_the_trial(tmp_path: Path) -> None:
    injector = Recorder(error=AttributeError("no attribute 'port'"))
    with pytest.raises(AttributeError, match="no attribute 'port'"):
        disturbed(tmp_path, injector, "active", awaited="apply")
    assert injector.done[-1] == "heal"
    (path,) = spools(tmp_path)
    assert read(path)[1][0][-1] == "not applied: AttributeError(\"no attribute 'port'\")"


def test_what_it_did_is_noted_when_it_is_healed(tmp_path: Path) -> None:
    injector = Recorder(note="wrote 10 MB")
    *_, note = disturbed(tmp_path, injector, "setup", "active", awaited="heal")
    assert note == "wrote 10 MB"
