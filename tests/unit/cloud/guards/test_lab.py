"""A lab in a cloud: it begins and ends clean, outlives trials that the cloud spoils, and is healed."""

import asyncio
from pathlib import Path

import pytest
from cloudlab import OURS, lab, made, no_secret
from fakecloud import FakeCloud, Fault

from migrascope.cloud.client import Cloud
from migrascope.lab.boot_image import BootImage
from migrascope.lab.disturbable import Healing
from migrascope.lab.injectors.lab_links import LabLinks
from migrascope.lab.openstack import leftovers
from migrascope.lab.openstack.access import CloudAccess
from migrascope.lab.openstack.lab import OpenstackLab
from migrascope.lab.openstack.ownership import InstanceRequest
from migrascope.lab.testbed.control import TestbedControl
from migrascope.lab.testbed.lab import TestbedLab
from migrascope.lab.testbed.nodes import Nodes
from migrascope.model.plan import Plan
from migrascope.model.problem import Problem
from migrascope.model.schedule import schedule
from migrascope.node.namespace import Namespace
from migrascope.node.register import Register
from migrascope.store.runfolder import RunFolder
from migrascope.study.plans import parse, text_of
from migrascope.trial.engine import TrialEngine


def test_a_run_begins_by_removing_what_a_killed_one_left_and_ends_with_nothing(
    fake: FakeCloud, cloud: Cloud, boot: BootImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(cloud, boot)
    alive = Register.create(tmp_path / "labs")
    fake.add("security_groups", name=alive.id, description=InstanceRequest(alive.id, OURS).mark)
    monkeypatch.setattr(Register, "create", classmethod(lambda cls: Register(tmp_path / "labs" / "ms0000ff")))
    (tmp_path / "labs" / "ms0000ff").mkdir()
    monkeypatch.setattr(leftovers.find, "__defaults__", (lambda: {alive.id, "ms0000ff"},))
    monkeypatch.setattr("migrascope.lab.openstack.lab.machine_tag", lambda: OURS)

    async def work() -> None:
        async with OpenstackLab.up(cloud, None, InstanceRequest("", ""), boot, CloudAccess()) as lab:
            assert lab.hosts == ("one", "two")
            assert fake.names("security_groups") == sorted([alive.id, "ms0000ff"])
            assert (fake.nova.servers, fake.names("volumes")) == ({}, [])

    asyncio.run(work())
    assert fake.names("security_groups") == [alive.id]
    assert not (tmp_path / "labs" / "ms0000ff").exists()


PLAN = """
blocks = 3
[lab]
kind = "openstack"
[axes]
scenario = ["none"]
[windows]
boot_limit = "200ms"
"""


def test_a_trial_that_the_cloud_spoils_is_recorded_and_the_next_one_runs(
    fake: FakeCloud, cloud: Cloud, boot: BootImage, tmp_path: Path
) -> None:
    plan: Plan = parse(PLAN, "test")
    fake.faults += [Fault("POST .*/servers", 403, "Quota exceeded for cores"), Fault("POST .*/volumes", 500, "out")]
    engine = TrialEngine(lab(cloud, boot, tmp_path), plan, lambda _: None)
    run = RunFolder.create(tmp_path / "runs", text_of(plan), {"lab": "openstack"})
    before = fake.kinds()
    reasons = []
    for spec in schedule(plan):
        opened = run.open_trial(spec.number)
        recording = run.seal_trial(opened, asyncio.run(engine.run(spec, opened)))
        reasons.append(recording.trial.reason or "")
        assert recording.trial.status == "failed"
        assert fake.kinds() == before
    assert "out" in reasons[0]
    assert "Quota exceeded for cores" in reasons[1]
    assert "the guest boots and its website answers" in reasons[2]
    no_secret(run.path, fake)


class Control(TestbedControl):
    """The control of a testbed without nodes, one of whose services was down. ill: what its store lacks."""

    def __init__(self) -> None:
        CloudAccess.__init__(self)
        self.nodes = Nodes(LabLinks(Namespace("x"), {}, {}), {}, "one", lambda node, link: "")
        self.rebuilt: list[str] = []
        self.ill: list[str] = []

    async def repair(self) -> list[str]:
        return ["start nova-compute on one"]

    async def replicated(self) -> list[str]:
        if self.ill:
            raise Problem(f"{self.ill[0]}\n  command: ceph")
        return ["wait 5 s until Ceph has all copies"]

    async def rebuild(self) -> None:
        self.rebuilt.append("anew")


def test_a_lab_is_healed_or_made_anew_and_says_which(
    fake: FakeCloud, cloud: Cloud, boot: BootImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = Control()
    here = lab(cloud, boot, tmp_path, TestbedLab)
    assert isinstance(here, TestbedLab)
    monkeypatch.setattr(here, "_control", control, raising=False)
    monkeypatch.setattr("migrascope.lab.testbed.lab._WELL_S", 0.1)
    said: list[list[str]] = [[]]
    monkeypatch.setattr("migrascope.lab.testbed.lab.unhealthy", lambda cloud: said[0])
    healed = asyncio.run(here.heal())
    did = ["start nova-compute on one", "wait 5 s until Ceph has all copies"]
    assert healed == Healing("healed", did)
    assert control.rebuilt == []
    said[0] = ["nova-compute on two is down"]
    groups = fake.names("security_groups")
    healed = asyncio.run(here.heal())
    assert (healed.lab, healed.why, control.rebuilt) == ("rebuilt", "nova-compute on two is down", ["anew"])
    assert len(fake.names("security_groups")) > len(groups)
    said[0], control.ill = [], ["Ceph does not have all copies after 120 s"]
    healed = asyncio.run(here.heal())
    assert (healed.lab, healed.why) == ("rebuilt", control.ill[0])
