"""Disturbances of a plan: what makes sense, where each can be, and what a machine must have for them."""

from types import SimpleNamespace
from typing import Any

import pytest

import aim
from migrascope.model.disturbance import Disturbance
from migrascope.model.kinds import KINDS
from migrascope.model.kinds.kind import LOSS
from migrascope.model.schedule import cells
from migrascope.study.doctor import disturbances
from migrascope.study.plans import PlanError, parse, text_of

LOAD = (
    "name = 'cut'\nkind = 'storage-load'\ntarget = 'storage'\nwrite_rate = '1MB/s'\nworking_set = '8MiB'\n"
    "when = 'first-copy'\nduration = '2s'"
)
BEHIND = (
    LOAD.replace("storage-load", "ceph-recovery").replace("'storage'", "'source'").replace("write_rate = '1MB/s'\n", "")
)
CUT = "name = 'cut'\nkind = 'link-down'\ntarget = 'migration'\nwhen = 'first-copy'\nduration = '2s'"


def plan_of(table: str, axes: str = "", rest: str = "") -> str:
    return f"{rest}\n[axes]\nscenario = ['none']\ndisturbance = ['none', 'cut']\n{axes}\n[[disturbance]]\n{table}\n"


def test_a_disturbance_is_a_factor_and_survives_writing() -> None:
    plan = parse(plan_of(CUT), "plan")
    assert [factors.disturbance for factors in cells(plan)] == ["none", "cut"]
    assert parse(text_of(plan), "plan") == plan
    assert plan.disturbances()["cut"].duration == 2.0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("'migration'", "'backbone'"), "target 'backbone' is not known to link-down"),
        (("'first-copy'", "'second-copy'"), "when 'second-copy' is not known"),
        (("'first-copy'", "'round:1'"), "round:1 is written first-copy"),
        (("'first-copy'", "'post-copy'"), "policy pre-copy: the policy has no phase post-copy"),
        (("duration = '2s'", ""), "duration is missing"),
        (("duration = '2s'", "duration = '2h'"), "duration: 10ms to 10min"),
        (("'first-copy'", "'trial'"), "the whole trial has none"),
        (("'link-down'", "'link-rate'"), "link-rate needs rate"),
        (("'link-down'", "'traffic'\nrate = '0mbit'"), "rate: 100kbit to 100gbit"),
        (("'link-down'", "'link-down'\nrate = '1gbit'"), "link-down takes no rate"),
        (("'link-down'\ntarget = 'migration'", "'qemu-kill'\ntarget = 'source'"), "qemu-kill has no duration"),
        (("'link-down'\ntarget = 'migration'", "'qemu-kill'\ntarget = 'host-c'"), "target 'host-c' is not known"),
        (("'link-down'", "'abort'"), "abort takes no target"),
        (("'link-down'\ntarget = 'migration'", "'guest-cpu'\nworkers = 1"), "begins too slowly for a phase"),
        (("name = 'cut'", "name = 'gash'"), "'cut' has no table"),
        (("target = 'migration'", "target = 'storage'\nway = 'from-source'"), "only the migration link"),
        (("'link-down'", "'link-loss'\nloss = '100%'"), "loss: 0.01% to 90%; link-down loses all"),
        (("'link-down'", "'link-loss'\nloss = '5'"), "'5' is not a share"),
        (("'link-down'", "'link-delay'\ndelay = '0ms'"), "delay: 1ms to 1s"),
        (("'link-down'", "'link-delay'"), "link-delay needs delay"),
        (("'link-down'", "'link-down'\nhost = 'source'"), "host: it has no meaning on the link migration"),
        (
            ("'link-down'\ntarget = 'migration'", "'guest-memory'\nworking_set = '8MiB'\nwrite_rate = '0'"),
            "begins too slowly for a phase",
        ),
        (
            (
                CUT,
                "name = 'cut'\nkind = 'guest-memory'\nworking_set = '8MiB'\nwrite_rate = '0MB/s'",
            ),
            "write_rate: 4096B/s to 100GB/s",
        ),
        (("'link-down'", "'link-down'\nhold = true"), "hold: only the switchover can be held"),
        (("'link-down'", "'link-loss'\nloss = '5%'\ndelay = '5ms'"), "link-loss takes no delay"),
        ((CUT, LOAD.replace("1MB/s", "65535B/s")), "a block of 64KiB each second at least"),
        ((CUT, LOAD.replace("8MiB", "4097MiB")), "the store has room for 4GiB of it"),
        ((CUT, LOAD.replace("8MiB", "1023KiB")), "working_set: 1MiB at least"),
        ((CUT, LOAD.replace("'storage'", "'source'")), "target 'source' is not known to storage-load"),
        ((CUT, LOAD.replace("write_rate = '1MB/s'\n", "")), "storage-load needs write_rate"),
        ((CUT, BEHIND.replace("8MiB", "4097MiB")), "the store has room for 4GiB of it"),
        ((CUT, BEHIND.replace("working_set = '8MiB'\n", "")), "ceph-recovery needs working_set"),
        ((CUT, BEHIND), "the lab qemu has no ceph-recovery, only openstack has"),
    ],
)
def test_what_makes_no_sense_is_one_clear_error(change: tuple[str, str], words: str) -> None:
    with pytest.raises(PlanError, match=words) as caught:
        parse(plan_of(CUT.replace(*change)), "plan")
    assert len(caught.value.problems) == 1


def test_a_working_set_larger_than_the_guest_s_memory_is_refused() -> None:
    stress = "name = 'cut'\nkind = 'guest-memory'\nwrite_rate = '1MB/s'\nworking_set = '{}'\npattern = 'hot'"
    parse(plan_of(stress.format("256MiB"), "memory = ['512MiB']"), "plan")
    with pytest.raises(PlanError, match="the guest has 256MiB of memory for it"):
        parse(plan_of(stress.format("257MiB"), "memory = ['512MiB']"), "plan")


def test_other_labs_have_none() -> None:
    with pytest.raises(PlanError, match="the lab fake has no link-down"):
        parse(plan_of(CUT) + "[lab]\nkind = 'fake'\n", "plan")


DOWN = (
    "name = 'cut'\nkind = 'service-down'\ntarget = 'source'\nservice = 'nova-compute'\n"
    "when = 'accepted'\nduration = '5s'"
)
TESTBED = "[lab]\nkind = 'openstack'\n"


def test_the_labs_have_different_ones() -> None:
    parse(plan_of(DOWN) + TESTBED, "plan")
    parse(plan_of(CUT.replace("migration", "management")) + TESTBED, "plan")
    with pytest.raises(PlanError, match="the lab qemu has no service-down, only openstack and libvirt has"):
        parse(plan_of(DOWN), "plan")
    with pytest.raises(PlanError, match="the lab qemu has no target management"):
        parse(plan_of(CUT.replace("migration", "management")), "plan")
    with pytest.raises(PlanError, match="the lab qemu has no phase accepted"):
        parse(plan_of(CUT.replace("first-copy", "accepted")), "plan")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("nova-compute", "nova"), "service 'nova' is not known"),
        (("nova-compute", "rabbitmq"), "rabbitmq runs on: controller"),
        (("'source'", "'controller'"), "nova-compute runs on: source, destination"),
        (("service = 'nova-compute'", ""), "service-down needs service"),
    ],
)
def test_a_service_runs_where_it_runs(change: tuple[str, str], words: str) -> None:
    with pytest.raises(PlanError, match=words):
        parse(plan_of(DOWN.replace(*change)) + TESTBED, "plan")


def test_a_cloud_of_others_is_not_disturbed() -> None:
    others = TESTBED + "[cloud]\nname = 'theirs'\n"
    with pytest.raises(PlanError, match="a cloud of others is not disturbed"):
        parse(plan_of(CUT) + others, "plan")
    load = "name = 'cut'\nkind = 'guest-cpu'\nworkers = 1"
    parse(plan_of(load) + others, "plan")


def test_the_benchmark_aims_every_kind_that_can_be_aimed() -> None:
    aimed = {disturbance.kind for disturbance in aim.plan().disturbances().values()}
    assert aimed == {name for name, kind in KINDS.items() if "qemu" in kind.labs and not kind.in_guest}


def test_two_of_one_name_are_refused() -> None:
    with pytest.raises(PlanError, match="same name"):
        parse(plan_of(CUT) + f"[[disturbance]]\n{CUT}\n", "plan")


def test_every_kind_can_be_written() -> None:
    doses: dict[str, Any] = {
        "rate": "10mbit",
        "write_rate": "1MB/s",
        "working_set": "8MiB",
        "workers": 1,
        "service": "libvirt",
        "loss": "0.5%",
        "delay": "20ms",
    }
    for name, kind in KINDS.items():
        given = {key: doses[key] for key in kind.needs}
        when = {"when": "setup"} if kind.instant else {"when": "trial"}
        target = {"target": kind.targets[0]} if kind.targets else {}
        assert Disturbance.model_validate({"name": "x", "kind": name, **given, **when, **target}).kind == name


def test_what_a_machine_lacks_is_said_before_the_lab_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    here = {"network namespaces": "", LOSS: "Operation not supported"}
    monkeypatch.setattr(disturbances, "features", lambda: dict(here))
    loses = parse(plan_of(CUT.replace("'link-down'", "'link-loss'\nloss = '1%'")), "plan")
    assert disturbances.problems_of(loses) == [
        "disturbance cut: random loss (nftables): Operation not supported; leave it out"
    ]
    assert disturbances.problems_of(parse(plan_of(CUT), "plan")) == []
    here[LOSS] = ""
    assert disturbances.problems_of(loses) == []


def test_a_host_s_memory_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(disturbances, "features", lambda: {"network namespaces": ""})
    wants = "name = 'cut'\nkind = 'host-memory'\ntarget = 'source'\nworking_set = '{}'"
    assert disturbances.problems_of(parse(plan_of(wants.format("1MiB")), "plan")) == []
    (said,) = disturbances.problems_of(parse(plan_of(wants.format("100000GiB")), "plan"))
    assert "this machine has" in said


@pytest.mark.parametrize(("lab", "text"), [("qemu", LOAD), ("openstack", LOAD), ("openstack", BEHIND)])
def test_the_disk_must_have_room_for_load_on_the_store(monkeypatch: pytest.MonkeyPatch, lab: str, text: str) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(disturbances, "features", lambda: {"network namespaces": ""})
    copies = 1 if lab == "qemu" else 2
    free = [2**30 + copies * 8 * 2**20]
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=free[0]))
    plan = parse(plan_of(text) + f"[lab]\nkind = '{lab}'\n", "plan")
    assert disturbances.problems_of(plan) == []
    free[0] -= 1
    (said,) = disturbances.problems_of(plan)
    assert f"has {copies * 8 - 1} MiB to spare, of {copies * 8} MiB; leave it out" in said
