"""A guest that does not answer over the second family: the run ends at the first trial, and one trial later on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from faketrial import SCRIPT, light

from migrascope.lab.fake.lab import SITE, FakeLab
from migrascope.lab.fake.runtime import FakeRuntime
from migrascope.lab.fake.time import NS, VirtualClock, run_virtually
from migrascope.model.problem import RunStops
from migrascope.model.schedule import schedule
from migrascope.store.runfolder import RunFolder
from migrascope.study.labs.fake import FakeTrials
from migrascope.study.plans import text_of
from migrascope.trial.engine import TrialEngine

HOSTS = ["qemu+ssh://a/system", "qemu+ssh://b/system"]
GUEST = {"pool": "p", "bridge": "b", "address": "192.0.2.50/24"}
KEYS = "or in the plan other libvirt.guest.address6"


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """Whether the guest is, "over ipv6"."""
    said = {"over ipv6": True}
    asked = FakeRuntime.request

    async def request(self: FakeRuntime, client: None, url: str, **how: Any) -> tuple[int, bytes]:
        if said["over ipv6"] and "[" in url:
            raise OSError("no answer in time")
        return await asked(self, client, url, **how)

    monkeypatch.setattr(FakeRuntime, "request", request)
    return said


def run_one(folder: Path, *families: str, **parts: Any) -> RunFolder:
    """The first trial of a plan over these families, on the fake lab."""
    plan = light(blocks=1, axes={"scenario": ["none"]}, families=list(families), **parts)
    run = RunFolder.create(folder, text_of(plan), {})
    spec = schedule(plan)[0]
    opened = run.open_trial(spec.number)
    run.seal_trial(opened, FakeTrials(plan, lambda _: SCRIPT).run_now(spec, opened))
    return run


def test_a_guest_that_is_silent_over_ipv6_ends_the_run(silent: dict[str, bool], tmp_path: Path) -> None:
    with pytest.raises(RunStops) as stopped:
        run_one(tmp_path, "ipv4", "ipv6")
    said = str(stopped.value)
    assert "the guest on host-a does not answer over ipv6, at 2001:db8::" in said
    assert "for 60 s: no answer in time; over ipv4, at " in said
    assert "next: let ICMPv6 and TCP through every firewall on the way, or leave ipv6 out of families" in said
    assert KEYS not in said


@pytest.mark.parametrize(("second", "told"), [({"address6": "2001:db8::50/64"}, True), ({}, False)])
def test_who_names_its_address_is_told_the_keys(
    silent: dict[str, bool], tmp_path: Path, second: dict[str, str], told: bool
) -> None:
    there = {"lab": {"kind": "libvirt"}, "libvirt": {"hosts": HOSTS, "guest": GUEST | second}}
    with pytest.raises(RunStops) as stopped:
        run_one(tmp_path, "ipv4", "ipv6", **there)
    assert (KEYS in str(stopped.value)) == told


def test_over_ipv4_alone_nobody_asks(silent: dict[str, bool], tmp_path: Path) -> None:
    (recording,) = run_one(tmp_path, "ipv4").recordings()
    assert recording.trial.status == "ok"


def test_where_it_had_answered_before_one_trial_fails(silent: dict[str, bool], tmp_path: Path) -> None:
    plan = light(blocks=1, axes={"scenario": ["none"]}, families=["ipv4", "ipv6"])
    run, (spec,) = RunFolder.create(tmp_path, text_of(plan), {}), schedule(plan)
    clock = VirtualClock(1000 * NS)

    async def work() -> list[tuple[str, str | None]]:
        with FakeLab.up(clock, lambda _: SCRIPT) as lab:
            engine = TrialEngine(lab, plan, lambda phase: None, SITE, lab.runtime)
            silent["over ipv6"] = False
            came = await engine.run(spec, run.open_trial(1))
            silent["over ipv6"] = True
            gone = await engine.run(replace(spec, number=2), run.open_trial(2))
            return [(facts.status, facts.reason) for facts in (came, gone)]

    came, (status, reason) = run_virtually(clock, work)
    assert came == ("ok", None)
    assert status == "failed"
    assert "does not answer over ipv6" in str(reason)
