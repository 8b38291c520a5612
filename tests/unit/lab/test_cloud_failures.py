"""Failures on OpenStack: what an operator does next, and who is where."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import requests
from nobodystestbed import Control, parts

from migrascope.cloud.client import Cloud
from migrascope.lab.openstack.ownership import InstanceRequest
from migrascope.lab.openstack.resources import Made, Resources
from migrascope.lab.testbed import taps
from migrascope.lab.testbed.instance import TestbedInstance
from migrascope.lab.testbed.nodes import Nodes
from migrascope.lab.testbed.rescue import DIFFER_S, SILENT_S, STUCK_S, Seen, agree, next_step, place_text


@pytest.mark.parametrize(
    ("status", "task", "answers", "waited", "done", "step"),
    [
        ("ACTIVE", None, True, 99, [], None),
        ("ACTIVE", None, False, SILENT_S - 1, [], None),
        ("ACTIVE", None, False, SILENT_S, [], "hard reboot"),
        ("ACTIVE", None, False, 99, ["hard reboot"], None),
        ("ERROR", None, True, 0, [], "reset-state"),
        ("SHUTOFF", None, False, 0, [], "start"),
        ("SHUTOFF", None, False, 0, ["start"], None),
        ("PAUSED", None, False, 0, [], "unpause"),
        ("MIGRATING", "migrating", True, STUCK_S - 1, [], None),
        ("MIGRATING", "migrating", True, STUCK_S, [], "restart nova-compute"),
        ("MIGRATING", "migrating", True, STUCK_S, ["restart nova-compute"], "reset-state"),
        ("MIGRATING", "migrating", True, STUCK_S, ["restart nova-compute", "reset-state"], None),
    ],
)
def test_an_operator_takes_one_step_after_another(
    status: str, task: str | None, answers: bool, waited: float, done: list[str], step: str | None
) -> None:
    alone = {"one": "running", "two": "no domain"}
    assert next_step(Seen(status, task, "one", alone), answers, waited, done) == step


@pytest.mark.parametrize(
    ("status", "text", "two", "answers", "waited", "step"),
    [
        ("ACTIVE", "running", "running", True, 0, "end the copy on two"),
        ("ACTIVE", "running", "running", False, 0, "end the copy on two"),
        ("ACTIVE", "running", "paused", True, 99, None),
        ("ACTIVE", "shut off", "running", True, 99, None),
        ("ACTIVE", "no domain", "running", False, SILENT_S - 1, None),
        ("ACTIVE", "no domain", "running", False, SILENT_S, "end the copy on two"),
        ("SHUTOFF", "shut off", "running", False, 0, "end the copy on two"),
        ("SHUTOFF", "shut off", "no domain", False, 0, "start"),
    ],
)
def test_an_operator_never_leaves_or_makes_two_copies(
    status: str, text: str, two: str, answers: bool, waited: float, step: str | None
) -> None:
    assert next_step(Seen(status, None, "one", {"one": text, "two": two}), answers, waited, []) == step


@pytest.mark.parametrize(
    ("plugged", "done", "waited", "step"),
    [
        ({"one", "two"}, [], SILENT_S - 1, None),
        ({"one", "two"}, [], SILENT_S, "unplug its port on two"),
        ({"one", "two"}, ["unplug its port on two"], SILENT_S, "hard reboot"),
        ({"one"}, [], SILENT_S, "hard reboot"),
        ({"one", "two"}, ["hard reboot"], SILENT_S, "unplug its port on two"),
        ({"one", "two"}, ["hard reboot", "unplug its port on two"], 99, None),
    ],
)
def test_a_port_that_was_left_elsewhere_is_unplugged_before_a_reboot(
    plugged: set[str], done: list[str], waited: float, step: str | None
) -> None:
    seen = Seen("ACTIVE", None, "one", {"one": "running", "two": "no domain"}, plugged)
    assert next_step(seen, False, waited, done) == step
    assert next_step(seen, True, waited, done) is None


@pytest.mark.parametrize(
    ("seen", "watched", "settled"),
    [
        (Seen("ACTIVE", None, "one", {"one": "running", "two": "no domain"}), 0.0, True),
        (Seen("ACTIVE", None, "one", {"one": "no domain", "two": "running"}), DIFFER_S - 1, False),
        (Seen("ACTIVE", None, "one", {"one": "no domain", "two": "running"}), DIFFER_S, True),
        (Seen("ACTIVE", "rebooting", "one", {"one": "running", "two": "no domain"}), 99.0, False),
    ],
)
def test_a_server_on_another_host_than_nova_s_is_watched_on(seen: Seen, watched: float, settled: bool) -> None:
    assert seen.settled(watched) == settled


class Switch:
    """A node whose switch has a port of a router, and one of each of these servers."""

    def __init__(self, *servers: str) -> None:
        self.servers = list(servers)

    async def run(self, argv: list[str], **options: Any) -> str:
        if "del-port" in argv:
            self.servers.remove(argv[-1].removeprefix("tap-"))
            return ""
        ours = [[f"tap-{server}", ["map", [["iface-id", "p"], ["vm-uuid", server]]]] for server in self.servers]
        return json.dumps({"data": [["qr-1", ["map", [["iface-id", "r"]]]], ["br-int", ["map", []]], *ours]})


async def test_ports_of_servers_that_are_gone_are_unplugged() -> None:
    nodes = {"one": Switch("s", "t"), "two": Switch("gone", "s")}
    ours = replace(parts(), by_name=cast(Any, nodes))
    assert await taps.hosts_with(ours, "s") == {"one", "two"}
    assert await taps.unplug_orphans(ours, {"s", "t"}) == ["unplug what Nova had forgotten on two"]
    assert [node.servers for node in nodes.values()] == [["s", "t"], ["s"]]
    await taps.unplug(ours, "two", "s")
    assert await taps.hosts_with(ours, "s") == {"one"}


@pytest.mark.parametrize(
    ("host", "active", "states", "same"),
    [
        ("one", True, {"one": "running", "two": "no domain"}, True),
        ("one", True, {"one": "no domain", "two": "running"}, False),
        ("one", True, {"one": "running", "two": "running"}, False),
        ("one", True, {"one": "paused", "two": "no domain"}, False),
        ("one", False, {"one": "shut off", "two": "no domain"}, True),
        ("one", False, {"one": "running", "two": "no domain"}, False),
        ("one", True, {"one": "no answer", "two": "no domain"}, False),
    ],
)
def test_nova_and_both_libvirts_must_agree(host: str, active: bool, states: dict[str, str], same: bool) -> None:
    assert agree(host, active, states) == same
    assert place_text("ERROR on one", states).startswith("Nova: ERROR on one; libvirt: one ")


class Storage:
    """Volumes of a cloud: one of ours whose server is gone, one whose server lives, one that is free, one of others."""

    def __init__(self) -> None:
        self.posted: list[Any] = []
        self.deleted: list[str] = []

    def volumes(self) -> list[Any]:
        def one(name: str, run: str, *servers: str) -> Any:
            attached = [{"server_id": server} for server in servers]
            return SimpleNamespace(id=f"id-{name}", name=name, metadata={run: "1"}, attachments=attached)

        return [one("stuck", "ms1", "gone"), one("used", "ms1", "s"), one("free", "ms1"), one("theirs", "ms2", "gone")]

    def post(self, path: str, json: Any) -> requests.Response:
        self.posted.append((path, json))
        answer = requests.Response()
        answer.status_code = 202
        return answer

    def delete_volume(self, volume: Any) -> None:
        self.deleted.append(volume.name)


def test_a_volume_of_a_server_that_is_gone_is_freed() -> None:
    storage = Storage()
    connection = SimpleNamespace(network=None, block_storage=storage)
    cloud = SimpleNamespace(connection=connection, idempotent=lambda ask: ask(), once=lambda ask: ask())
    resources = Resources(cast(Cloud, cloud), InstanceRequest("ms1", "machine"))
    assert resources.free_volumes({"s"}) == ["free and remove the volume stuck"]
    state = {"status": "available", "attach_status": "detached"}
    assert storage.posted == [("/volumes/id-stuck/action", {"os-reset_status": state})]
    assert storage.deleted == ["stuck"]


class Nova:
    """A server that was left in error and shut off: an operator has to reset its state and to reboot it."""

    name = "fake"

    def __init__(self) -> None:
        self.status, self.asked = "ERROR", list[str]()

    def compute(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        if method == "POST":
            (action,) = body
            self.asked.append(action)
            self.status = "ACTIVE"
        fault = {"message": "libvirt went away"}
        return {"server": {"status": self.status, "fault": fault, "OS-EXT-SRV-ATTR:hypervisor_hostname": "one"}}


async def test_an_operator_works_until_the_service_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nova, module = Nova(), "migrascope.lab.testbed"

    async def states(nodes: Nodes, server: str) -> dict[str, str]:
        return {"one": "running" if "reboot" in nova.asked else "shut off", "two": "no domain"}

    async def answers() -> bool:
        return "reboot" in nova.asked

    monkeypatch.setattr(f"{module}.instance.domains.states", states)

    async def plugged(nodes: Nodes, server: str) -> frozenset[str]:
        return frozenset({"one"})

    monkeypatch.setattr(f"{module}.instance.taps.hosts_with", plugged)
    monkeypatch.setattr(f"{module}.instance._POLL_S", 0.01)
    monkeypatch.setattr(f"{module}.rescue.SILENT_S", 0.1)
    ours = Control()
    made = Made("server-1", "volume-1", "port-1", "192.0.2.7")
    resources = cast(Resources, SimpleNamespace(cloud=nova))
    instance = TestbedInstance(
        "i", made, resources, ours, {}, {}, persist=True, control=ours, host="one", folder=tmp_path
    )
    assert (await instance.place("one")).verdict == "fail"
    told = await instance.rescue(answers)
    assert told.found == "Nova: ERROR on one; libvirt: one shut off, two no domain"
    assert told.operator == ["start rabbitmq-server on two", "reset-state", "hard reboot"]
    assert nova.asked == ["os-resetState", "reboot"]
    assert told.answers_s is not None
    assert instance.problem() is None
    assert (await instance.place("one")).verdict == "pass"
    assert (await instance.place("two")).verdict == "fail"
