"""What a guest holds and dirties is sampled before its migration, and a trial goes on where that fails."""

import json
from pathlib import Path
from typing import Any

import pytest
from faketrial import SCRIPT, light, record, record_anew

from migrascope.lab.fake.lab import FakeInstance
from migrascope.model.events import PHASES
from migrascope.model.plan import Plan
from migrascope.model.problem import Problem
from migrascope.store.recording import Recording
from migrascope.trial.sampling import PAGES_LOOKED_AT, PAGES_OF_GIB, PERIODS_S

SAMPLED = {"probes": {"dirty": True, "echo_rate": 50}, "blocks": 1}
RATE = 40 * 2**20
GUEST = {"pool": "default", "bridge": "br0", "address": "192.0.2.50/24"}


def sampled(folder: Path, **changes: Any) -> Recording:
    return record(folder, light(**SAMPLED), dirty_rate_Bps=float(RATE), **changes)


def test_each_period_is_a_row_in_order(tmp_path: Path) -> None:
    rows = sampled(tmp_path).table("sample")
    held, *dirty = rows.rows(named=True)
    assert (held["what"], held["pages"], json.loads(held["answer"])) == ("held", PAGES_LOOKED_AT, PAGES_LOOKED_AT // 4)
    assert [row["period_s"] for row in dirty] == list(PERIODS_S)
    assert {(row["what"], row["pages"], row["error"]) for row in dirty} == {("dirty", PAGES_OF_GIB, "")}
    assert {json.loads(row["answer"])["dirty-rate"] for row in dirty} == {40}
    for row in dirty:
        assert row["answered_ns"] - row["asked_ns"] >= row["period_s"] * 1e9


def test_the_window_before_begins_after_it(tmp_path: Path) -> None:
    recording = sampled(tmp_path)
    phases = [event.data["phase"] for event in recording.events if event.name == "phase"]
    assert phases == list(PHASES)
    stamps = {event.data["phase"]: event.mono_ns for event in recording.events if event.name == "phase"}
    assert stamps["before"] >= max(recording.table("sample")["answered_ns"])
    assert stamps["migrate"] - stamps["before"] >= 0.99e9
    assert recording.trial.status == "ok"


def test_nothing_is_sampled_unless_the_plan_says_so(tmp_path: Path) -> None:
    recording = record(tmp_path, light(blocks=1))
    assert recording.table("sample").is_empty()
    assert "sample" not in [event.data.get("phase") for event in recording.events]


def test_a_sample_that_fails_is_a_row_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(self: FakeInstance, period_s: float, pages: int) -> dict[str, Any]:
        raise Problem("calc-dirty-rate: it is too old")

    monkeypatch.setattr(FakeInstance, "dirtied", refused)
    recording = record_anew(tmp_path, light(**SAMPLED))
    dirty = recording.table("sample").filter(what="dirty")
    assert set(dirty["error"]) == {"calc-dirty-rate: it is too old"}
    assert (set(dirty["answer"]), set(dirty["answered_ns"])) == ({""}, {0})
    assert recording.trial.status == "ok"


@pytest.mark.parametrize("kind", ["openstack", "address"])
def test_labs_that_cannot_are_refused(kind: str) -> None:
    with pytest.raises(
        ValueError, match=rf"probes\.dirty: guests are sampled in the labs qemu and libvirt, not in {kind}"
    ):
        Plan.model_validate({"lab": {"kind": kind}, "probes": {"dirty": True}})


@pytest.mark.parametrize("whose", [{"domain": "web1", "url": "http://web1/"}, {"guest": GUEST}])
def test_nobody_is_sampled_whose_qemu_is_on_a_host_of_others(whose: dict[str, Any]) -> None:
    libvirt = {"hosts": ["qemu+ssh://a/system", "qemu+ssh://b/system"], **whose}
    few = {"new_rate": 1, "kept_rate": 1, "viewers": 0}
    there = {"lab": {"kind": "libvirt"}, "libvirt": libvirt, "visitors": few, "axes": {"scenario": ["none"]}}
    with pytest.raises(
        ValueError, match=r"probes\.dirty: .* on hosts of others is not on this machine; .* predict --hosts"
    ):
        Plan.model_validate(there | {"probes": {"dirty": True}})
    assert not Plan.model_validate(there).sampled


@pytest.mark.parametrize(
    ("kind", "sampled"), [("qemu", True), ("libvirt", True), ("fake", False), ("openstack", False)]
)
def test_guests_of_the_labs_of_this_machine_are_sampled_unless_the_plan_says_otherwise(
    kind: str, sampled: bool
) -> None:
    parts = {"lab": {"kind": kind}}
    assert Plan.model_validate(parts).sampled is sampled
    assert not Plan.model_validate(parts | {"probes": {"dirty": False}}).sampled


def test_the_script_s_rate_is_rounded_down_as_qemu_does(tmp_path: Path) -> None:
    rows = record(tmp_path, light(**SAMPLED)).table("sample").filter(what="dirty")
    assert SCRIPT.dirty_rate_Bps < 2**20
    assert {json.loads(answer)["dirty-rate"] for answer in rows["answer"]} == {0}
