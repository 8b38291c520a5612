"""The libvirt lab without a libvirt: its XML, its flags, its operator, and the client that calls libvirt."""

import sys
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any
from xml.etree import ElementTree

import pytest

from migrascope.lab.boot_image import BootImage
from migrascope.lab.libvirt.connection import Connection, LibvirtError
from migrascope.lab.libvirt.domain import MARK, DomainSpec, xml
from migrascope.lab.libvirt.policy import refused, request_of
from migrascope.lab.libvirt.rescue import next_step
from migrascope.lab.operator import AGAIN, PATIENCE_S
from migrascope.model.managers import AdvisedLimit
from migrascope.model.policy import BUILT_IN, AutoConverge, Moment, Policy, PostCopy
from migrascope.study.plans import Options, PlanError, load

ALWAYS = {"VIR_MIGRATE_LIVE", "VIR_MIGRATE_PEER2PEER"}


def spec(accelerator: str = "tcg") -> DomainSpec:
    image = BootImage(Path("/guest/kernel"), Path("/guest/initrd"), Path("/guest/disk"), "console=ttyS0 quiet")
    return DomainSpec(
        "vm-1", "ms0a1b2c", 2**30, 2, image, accelerator, ("10.0.2.20", 10809), "52:54:00:6d:73:01", "vm-1",
        ("bridge", "instances"), Path("/lab/vm-1.serial"),
    )  # fmt: skip


def test_a_domain_carries_the_mark_of_its_run_and_what_it_is_made_of() -> None:
    made = spec()
    root = ElementTree.fromstring(xml(made))
    mark = root.find(f"metadata/{{{MARK}}}run")
    assert mark is not None
    assert mark.attrib == {"id": "ms0a1b2c"}
    assert (root.findtext("name"), root.findtext("uuid"), root.findtext("vcpu")) == ("vm-1", made.uuid, "2")
    memory = root.find("memory")
    assert memory is not None
    assert (memory.text, memory.get("unit")) == (str(2**30), "b")
    assert root.findtext("os/cmdline") == "console=ttyS0 quiet"
    host = root.find("devices/disk/source/host")
    assert host is not None
    assert host.attrib == {"name": "10.0.2.20", "port": "10809"}


def test_two_domains_of_a_lab_are_not_the_same() -> None:
    assert spec().uuid != spec().uuid


@pytest.mark.parametrize(
    ("accelerator", "kind", "mode", "model"),
    [("tcg", "qemu", "custom", "qemu64"), ("kvm", "kvm", "host-passthrough", None)],
)
def test_the_processor_is_the_accelerator_s(accelerator: str, kind: str, mode: str, model: str | None) -> None:
    root = ElementTree.fromstring(xml(spec(accelerator)))
    cpu = root.find("cpu")
    assert cpu is not None
    assert (root.get("type"), cpu.get("mode"), cpu.findtext("model")) == (kind, mode, model)


@pytest.mark.parametrize(
    ("name", "flags", "parameters"),
    [
        ("pre-copy", set(), {}),
        ("post-copy", {"VIR_MIGRATE_POSTCOPY"}, {}),
        (
            "auto-converge",
            {"VIR_MIGRATE_AUTO_CONVERGE"},
            {"auto_converge.initial": 20, "auto_converge.increment": 10},
        ),
        ("multifd", {"VIR_MIGRATE_PARALLEL"}, {"parallel.connections": 4}),
        ("tls", {"VIR_MIGRATE_TLS"}, {}),
        (
            "multifd-zstd",
            {"VIR_MIGRATE_PARALLEL", "VIR_MIGRATE_COMPRESSED"},
            {"parallel.connections": 4, "compression": "zstd"},
        ),
        ("xbzrle", {"VIR_MIGRATE_COMPRESSED"}, {"compression": "xbzrle", "compression.xbzrle.cache": 64 * 2**20}),
    ],
)
def test_a_policy_is_flags_and_parameters(name: str, flags: set[str], parameters: dict[str, Any]) -> None:
    policy = BUILT_IN[name]
    request = request_of(policy)
    assert refused(policy) is None
    assert set(request.flags) == ALWAYS | flags
    assert request.parameters == parameters


@pytest.mark.parametrize(("rate", "mib_s"), [("8mbit", 1), ("200mbit", 24), ("1gbit", 119)])
def test_a_bandwidth_is_whole_mebibytes_a_second(rate: str, mib_s: int) -> None:
    limited = Policy.model_validate({"bandwidth": rate})
    assert request_of(limited).parameters == {"bandwidth": mib_s}
    both = limited.model_copy(update={"post_copy": PostCopy(after_round=1)})
    assert request_of(both).parameters == {"bandwidth": mib_s, "bandwidth.postcopy": mib_s}


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (BUILT_IN["dirty-limit"], "dirty_limit: "),
        (Policy(capabilities={"return-path": True}), "capabilities: "),
        (Policy(parameters={"announce-rounds": 7}), "parameters: "),
        (Policy(auto_converge=AutoConverge(maximum=50)), "auto_converge.maximum: "),
        (Policy(post_copy=PostCopy(after_round=1, recover=True)), "post_copy.recover: "),
    ],
)
def test_what_libvirt_has_no_word_for_is_refused(policy: Policy, words: str) -> None:
    assert (refused(policy) or "").startswith(words)


def test_a_tunnel_is_libvirt_s_alone(tmp_path: Path) -> None:
    text = '[axes]\npolicy = ["through"]\n[policies.through]\ntunnelled = true\n'
    policy = load(plan(tmp_path, text), Options(lab="libvirt")).chosen_policies()["through"]
    assert set(request_of(policy).flags) == {*ALWAYS, "VIR_MIGRATE_TUNNELLED"}
    with pytest.raises(PlanError, match="policy through: tunnelled: only libvirt has a tunnel"):
        load(plan(tmp_path, text), Options(lab="qemu"))


def test_a_manager_that_may_turn_the_guest_over_needs_the_flag_and_any_other_none() -> None:
    turns = Policy(advised=AdvisedLimit(turn="post-copy"))
    for policy, flags in ((turns, {"VIR_MIGRATE_POSTCOPY"}), (BUILT_IN["nova"], set()), (BUILT_IN["ovirt"], set())):
        assert refused(policy) is None
        assert set(request_of(policy).flags) == ALWAYS | flags


def test_a_pause_is_a_call_and_no_flag() -> None:
    policy = Policy(pause=Moment(after_round=1))
    assert refused(policy) is None
    assert set(request_of(policy).flags) == ALWAYS


@pytest.mark.parametrize(
    ("states", "waited_s", "step"),
    [
        ({"host-a": "running", "host-b": "no domain"}, 0.0, None),
        ({"host-a": "running", "host-b": "no domain"}, PATIENCE_S, AGAIN),
        ({"host-a": "paused", "host-b": "no domain"}, 0.0, "resume it on host-a"),
        ({"host-a": "paused", "host-b": "paused"}, PATIENCE_S - 0.1, None),
        ({"host-a": "paused", "host-b": "paused"}, PATIENCE_S, AGAIN),
        ({"host-a": "no domain", "host-b": "no domain"}, 0.0, AGAIN),
        ({"host-a": "no answer", "host-b": "running"}, 0.0, None),
        ({"host-a": "no answer", "host-b": "paused"}, PATIENCE_S - 0.1, None),
        ({"host-a": "no answer", "host-b": "no domain"}, PATIENCE_S - 0.1, None),
        ({"host-a": "no answer", "host-b": "no domain"}, PATIENCE_S, AGAIN),
    ],
)
def test_an_operator_never_has_it_run_twice(states: dict[str, str], waited_s: float, step: str | None) -> None:
    assert next_step(states, waited_s) == step


LIBVIRT = """
import time
VIR_A, VIR_B = 1, 4
class libvirtError(Exception): pass
def registerErrorHandler(*args): pass
def virEventRegisterDefaultImpl(): pass
def virEventRunDefaultImpl(): time.sleep(1)
class Domain:
    def name(self): return "vm-1"
    def sum(self, *args): return list(args)
    def made(self): return self
class Connection:
    def getLibVersion(self): return 11003000
    def getVersion(self): return 10000002
    def lookupByName(self, name):
        if name != "vm-1":
            raise libvirtError(f"Domain not found: no domain with matching name '{name}'")
        return Domain()
def open(uri):
    assert uri == "qemu:///system"
    return Connection()
"""
QEMU = """
import json
def qemuMonitorCommand(domain, text, flags):
    asked = json.loads(text)
    if asked["execute"] == "query-nothing":
        return json.dumps({"error": {"class": "CommandNotFound", "desc": "The command query-nothing is not known"}})
    return json.dumps({"return": {"asked": asked["execute"], **asked["arguments"]}})
"""


@pytest.fixture
def python(tmp_path: Path) -> list[str]:
    """A Python whose libvirt module is a stand-in."""
    (tmp_path / "libvirt.py").write_text(LIBVIRT)
    (tmp_path / "libvirt_qemu.py").write_text(QEMU)
    return ["env", f"PYTHONPATH={tmp_path}", sys.executable]


async def test_calls_are_answered_or_refused_in_libvirt_s_words(python: list[str]) -> None:
    connection = Connection("host-a")
    await connection.open(python)
    try:
        assert connection.versions == {"libvirt": 11003000, "qemu": 10000002}
        assert await connection.call("sum", 7, {"flags": ["VIR_A", "VIR_B"]}, on=("name", "vm-1")) == [7, 5]
        assert await connection.call("made", on=("name", "vm-1")) == "vm-1"
        assert await connection.call("qmp", "query-status", on=("name", "vm-1")) == {"asked": "query-status"}
        answer = await connection.call("qmp", "calc-dirty-rate", {"calc-time": 50}, on=("name", "vm-1"))
        assert answer == {"asked": "calc-dirty-rate", "calc-time": 50}
        with pytest.raises(LibvirtError, match="host-a: query-nothing: The command query-nothing is not known"):
            await connection.call("qmp", "query-nothing", on=("name", "vm-1"))
        with pytest.raises(LibvirtError, match="host-a: Domain not found"):
            await connection.call("name", on=("name", "vm-2"))
        with pytest.raises(LibvirtError, match="this libvirt has no VIR_NEW"):
            await connection.call("sum", {"flags": ["VIR_NEW"]}, on=("name", "vm-1"))
    finally:
        await connection.close()
    with pytest.raises(LibvirtError, match="client has ended"):
        await connection.call("name", on=("name", "vm-1"))


async def test_a_libvirt_that_takes_no_connection_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "libvirt.py").write_text("raise SystemExit(1)")
    with pytest.raises(LibvirtError, match="host-a: libvirt takes no connection"):
        await Connection("host-a").open(["env", f"PYTHONPATH={tmp_path}", sys.executable])


def plan(tmp_path: Path, text: str) -> str:
    """The path of a plan's file."""
    path = tmp_path / "plan.toml"
    path.write_text(text)
    return str(path)


def test_a_plan_names_the_lab_and_a_command_line_too(tmp_path: Path) -> None:
    assert load(plan(tmp_path, '[lab]\nkind = "libvirt"\n')).lab.kind == "libvirt"
    assert load(plan(tmp_path, ""), Options(lab="libvirt")).lab.kind == "libvirt"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[axes]\nhandover = ["managed"]\n', "axes.handover: in the lab libvirt others hand over"),
        ('[lab]\nqemu_program = "/usr/bin/qemu"\n', "lab.qemu_program: the lab libvirt runs the QEMU of its hosts"),
        ('[axes]\ndisturbance = ["off"]\n[[disturbance]]\nname = "off"\nkind = "no-memory"\ntarget = "source"\n'
         'when = "first-copy"\nduration = "5s"\n', "the lab libvirt has no no-memory"),
        ('[axes]\ndisturbance = ["cut"]\n[[disturbance]]\nname = "cut"\nkind = "link-down"\ntarget = "migration"\n'
         'when = "switchover"\nduration = "5s"\nhold = true\n', "hold: the lab libvirt cannot hold"),
    ],
)  # fmt: skip
def test_what_the_lab_does_not_have_is_refused_before_it_is_brought_up(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        load(plan(tmp_path, text), Options(lab="libvirt"))


def test_a_volume_that_is_copied_is_a_file_of_each_host_s() -> None:
    made = replace(spec(), volume=PurePath("/var/lib/libvirt/images/vm-1.qcow2"))
    assert (spec().storage, made.storage) == ("shared", "copied")
    disk = ElementTree.fromstring(xml(made)).find("devices/disk")
    assert disk is not None
    source, driver, target = (disk.find(name) for name in ("source", "driver", "target"))
    assert source is not None
    assert driver is not None
    assert target is not None
    assert source.attrib == {"file": "/var/lib/libvirt/images/vm-1.qcow2"}
    assert (driver.get("type"), target.get("dev")) == ("qcow2", "vda")
    request = request_of(BUILT_IN["pre-copy"], "copied")
    assert set(request.flags) == ALWAYS | {"VIR_MIGRATE_NON_SHARED_DISK"}
    assert request.parameters == {"migrate_disks": ["vda"], "disks_port": 10810}
