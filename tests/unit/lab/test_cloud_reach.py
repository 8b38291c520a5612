"""Who watches an instance in a cloud, by what of it is in reach; and its volume, read when the server is gone."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from migrascope.cloud.client import CloudError
from migrascope.lab.injectors.lab_links import LabLinks
from migrascope.lab.offline import OfflineVolume
from migrascope.lab.openstack.access import CloudAccess, Host
from migrascope.lab.openstack.instance import CloudInstance
from migrascope.lab.openstack.resources import Made, Resources
from migrascope.lab.testbed.control import TestbedControl
from migrascope.lab.testbed.instance import TestbedInstance
from migrascope.lab.testbed.nodes import Nodes
from migrascope.model.schedule import Factors
from migrascope.node.namespace import Namespace
from migrascope.node.process_spec import ProcessSpec

MADE = Made("server-1", "volume-1", "89f921b8-1eff-4608-a9ab-0852e3b338a3", "192.0.2.7", "fd00::f816")
TAP = "tap89f921b8-1e"
MAC = "fa:16:3e:38:e0:47"
FIXED = ["10.0.4.7", "fd00::f816"]
PORTS = {"one-tenant": ("tenant", "one"), "one-external": ("external", "one"), "ext-client": ("external", "client"),
         "one-migration": ("migration", "one"), "two-tenant": ("tenant", "two")}  # fmt: skip
FACTORS = Factors("none", "pre-copy", 2**30, 1e9, 0.3, "warm")


class Compute:
    """A cloud that knows one server, and forgets it a while after it was deleted."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        fixed = [{"subnet_id": "s", "ip_address": address} for address in FIXED]
        network = SimpleNamespace(get_port=lambda port: SimpleNamespace(mac_address=MAC, fixed_ips=fixed))
        self.connection = SimpleNamespace(network=network)

    def idempotent(self, question: Any) -> Any:
        return question()

    def compute(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        self.asked.append((method, path))
        deleted = self.asked.index(("DELETE", path)) if ("DELETE", path) in self.asked else len(self.asked)
        if self.asked[deleted:].count(("GET", path)) > 1:
            raise CloudError("no such server", 404)
        return {"server": {"status": "ACTIVE", "hostId": "h"}}


def instance(reach: CloudAccess, compute: Compute | None = None) -> CloudInstance:
    resources = cast(Resources, SimpleNamespace(cloud=compute or Compute()))
    made = CloudInstance("i", MADE, resources, reach, {}, {"cloud": "c", "clouds_yaml": ""})
    asyncio.run(made.prepare("two", FACTORS))
    return made


def members(reach: CloudAccess, interval_s: float = 0.1) -> dict[str, ProcessSpec]:
    return {member.source: member for member in instance(reach).watchers(interval_s)}


def near() -> CloudAccess:
    spaces = {name: Namespace(f"space-{name}") for name in ("one", "two")}
    hosts = {name: Host("qemu:///system", ("in", name, "python3"), space) for name, space in spaces.items()}
    return CloudAccess(hosts, fabric=Namespace("fabric"), ports=PORTS, ceph=("in", "one", "python3"))


def test_by_the_api_alone_only_the_api_is_asked() -> None:
    assert list(members(CloudAccess())) == ["nova"]


def test_hosts_whose_network_is_not_ours_are_asked_by_libvirt_alone() -> None:
    hosts = {name: Host(f"qemu+ssh://{name}/system", ("python3",)) for name in ("one", "two")}
    assert list(members(CloudAccess(hosts))) == ["nova", "libvirt"]


def test_on_hosts_in_reach_frames_journals_and_ceph_are_watched() -> None:
    found = members(near())
    assert set(found) == {
        "nova", "libvirt", "link", "frames-one", "frames-two", "announce-one", "announce-two", "announce", "journal",
        "neighbours", "ovn", "ceph",
    }  # fmt: skip
    frames = found["frames-two"]
    assert frames.config == {"mac": MAC, "ports": {TAP: "two"}, "interval_s": 0.05}
    assert frames.namespace is not None
    assert frames.namespace.name == "space-two"
    assert found["announce"].config["ports"] == {
        "one-tenant": ("one", "tenant"), "one-external": ("one", "router"), "two-tenant": ("two", "tenant"),
    }  # fmt: skip
    assert found["announce"].config["addresses"] == ["192.0.2.7", "fd00::f816"]
    assert found["journal"].config["words"] == ["server-1", MADE.port]
    hosts = found["journal"].config["hosts"]
    assert found["ovn"].config == {"hosts": hosts, "port": MADE.port, "addresses": ["192.0.2.7"]}


def test_the_neighbour_tables_of_router_and_client_are_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    client, router = Namespace("client"), Path("/proc/7/root/run/netns/qrouter-1")
    reach = near()
    reach.client = client
    none, _ = members(reach)["neighbours"].config["tables"]
    assert none == {"place": "router", "node": "", "paths": [], "addresses": FIXED}, "as with OVN"
    found: dict[str, list[Path]] = {"space-one": [], "space-two": [router]}
    monkeypatch.setattr("migrascope.lab.openstack.instance.inner_networks", lambda space, _: found[space.name])
    spec = members(reach)["neighbours"]
    assert spec.namespace == client
    assert spec.config["tables"] == [
        {"place": "router", "node": "two", "paths": [str(router)], "addresses": FIXED},
        {"place": "client", "node": "client", "paths": [""], "addresses": ["192.0.2.7", "fd00::f816"]},
    ]


def test_an_unobserved_trial_has_no_more_than_events_and_counters() -> None:
    assert set(members(near(), 0.0)) == {"libvirt", "link"}


def test_the_volume_is_read_when_the_server_is_gone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("migrascope.lab.testbed.instance._POLL_S", 0.001)
    compute, seen = Compute(), list[str]()

    class Control(TestbedControl):
        def __init__(self) -> None:
            CloudAccess.__init__(self)
            self.nodes = Nodes(LabLinks(Namespace("x"), {}, {}), {}, "one", lambda node, link: "")

        async def volume(self, name: str) -> OfflineVolume:
            assert compute.asked[-1] == ("GET", "/servers/server-1")
            seen.append(name)
            return OfflineVolume(b"", 0, "", {})

    control, resources = Control(), cast(Resources, SimpleNamespace(cloud=compute))
    given: tuple[Any, ...] = ("i", MADE, resources, control, {}, {})
    made = TestbedInstance(*given, persist=False, control=control, host="one", folder=tmp_path)
    assert asyncio.run(made.offline()) == OfflineVolume(b"", 0, "", {})
    assert seen == ["volume-1"]
    assert [method for method, _ in compute.asked] == ["DELETE", "GET", "GET"]


def test_a_volume_that_nobody_can_read() -> None:
    compute = Compute()
    assert asyncio.run(instance(CloudAccess(), compute).offline()) is None
    assert ("DELETE", "/servers/server-1") not in compute.asked
