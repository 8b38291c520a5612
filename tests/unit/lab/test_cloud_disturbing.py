"""Which injector brings a kind of disturbance about on the testbed, and how services die."""

import asyncio
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from nobodystestbed import Control

from migrascope.cloud.client import Cloud
from migrascope.cloud.server import Server
from migrascope.lab.injectors.host_stress import HostStress
from migrascope.lab.injectors.links import LinkDown, LinkRate, OneWay
from migrascope.lab.injectors.qemu_process import QemuSignal
from migrascope.lab.injectors.store_load import StoreLoad
from migrascope.lab.testbed.control import TestbedControl
from migrascope.lab.testbed.disturbing import Aim, injector
from migrascope.lab.testbed.injectors import commands
from migrascope.lab.testbed.injectors.flows import AnnouncementLoss, dropped, flows
from migrascope.lab.testbed.injectors.processes import NodeOff
from migrascope.lab.testbed.injectors.recovery import Recovery
from migrascope.lab.testbed.injectors.services import Service, ServiceHangs
from migrascope.lab.testbed.nodes import UNITS
from migrascope.model.disturbance import Disturbance
from migrascope.model.kinds import KINDS
from migrascope.model.kinds.services import SERVICES
from migrascope.model.problem import Problem

MAC = "fa:16:3e:38:e0:47"


def made(control: TestbedControl | None = None, /, **table: Any) -> Any:
    disturbance = Disturbance.model_validate({"name": "x", "when": "setup", **table})
    server = Server(cast(Cloud, None), "server-1")
    aim = Aim(server, "one", "two", Path("/tmp"), MAC, ["10.0.4.7", "fd00::f816"])
    return injector(disturbance, aim, control or Control())


def test_every_kind_of_the_lab_has_its_injector() -> None:
    lasts: dict[str, Any] = {"duration": "1s"}
    cut = made(kind="link-down", target="migration", **lasts)
    assert [port for _, port in cut._ports] == ["one-migration"]
    cut = made(kind="link-down", target="tenant", **lasts)
    assert [port for _, port in cut._ports] == ["one-tenant", "two-tenant"]
    found = {
        "link-down": cut,
        "link-rate": made(kind="link-rate", target="storage", rate="10mbit", **lasts),
        "traffic": made(kind="traffic", target="migration", rate="10mbit", **lasts),
        "host-cpu": made(kind="host-cpu", target="destination", workers=2, **lasts),
        "qemu-kill": made(kind="qemu-kill", target="destination"),
        "qemu-freeze": made(kind="qemu-freeze", target="source", **lasts),
        "abort": made(kind="abort"),
        "second-migration": made(kind="second-migration"),
        "force-complete": made(kind="force-complete"),
        "service-kill": made(kind="service-kill", target="controller", service="rabbitmq"),
        "service-down": made(kind="service-down", target="source", service="libvirt", **lasts),
        "service-freeze": made(kind="service-freeze", target="source", service="ovn-controller", **lasts),
        "announce-loss": made(kind="announce-loss", **lasts),
        "node-off": made(kind="node-off", target="source", **lasts),
        "storage-load": made(kind="storage-load", target="storage", write_rate="1MB/s", working_set="8MiB", **lasts),
        "ceph-recovery": made(kind="ceph-recovery", target="destination", working_set="8MiB", **lasts),
    }
    kinds = {
        "link-down": LinkDown, "link-rate": LinkRate, "traffic": HostStress, "host-cpu": HostStress,
        "qemu-kill": QemuSignal, "qemu-freeze": QemuSignal, "abort": commands.Abort,
        "second-migration": commands.SecondMigration, "force-complete": commands.ForceComplete,
        "service-kill": Service, "service-down": Service, "service-freeze": ServiceHangs,
        "announce-loss": AnnouncementLoss, "node-off": NodeOff,
        "storage-load": StoreLoad, "ceph-recovery": Recovery,
    }  # fmt: skip
    assert {name: type(item) for name, item in found.items()} == kinds
    assert set(found) == {name for name, kind in KINDS.items() if "openstack" in kind.labs and not kind.in_guest}
    assert isinstance(made(kind="link-down", target="migration", way="from-source", **lasts), OneWay)
    assert made(kind="service-kill", target="controller", service="database")._node == "node two"
    assert made(kind="announce-loss", **lasts)._node == "node two", "the destination's"


def test_what_announces_the_instance_is_dropped_and_nothing_else() -> None:
    begin, end = "cookie=0x6d73,table=0,priority=65535,", ",actions=drop"
    assert [flow.removeprefix(begin).removesuffix(end) for flow in flows(MAC, ["10.0.4.7", "fd00::f816"])] == [
        "rarp",
        f"icmp6,dl_src={MAC},ipv6_dst=ff02::1,icmp_type=136",
        f"arp,dl_src={MAC},arp_spa=10.0.4.7,arp_tpa=10.0.4.7",
    ]


def test_what_was_dropped_is_counted_by_kind() -> None:
    counted = "cookie=0x6d73, duration=3.1s, table=0, n_packets={}, n_bytes=300, priority=65535,{} actions=drop\n"
    told = counted.format(5, "rarp") + counted.format(10, f"icmp6,dl_src={MAC},ipv6_dst=ff02::1,icmp_type=136")
    words = "dropped: 5 of RARP, 0 of gratuitous ARP, 10 of unsolicited neighbour advertisement"
    assert dropped(told) == words


def test_a_switch_that_is_the_router_is_not_ended() -> None:
    frozen = {"service": "open-vswitch", "target": "controller", "duration": "1s"}
    assert isinstance(made(kind="service-down", **frozen), Service)
    in_switch = Control()
    in_switch.nodes = replace(in_switch.nodes, router_in_switch=True)
    assert isinstance(made(in_switch, kind="service-freeze", **frozen), ServiceHangs)
    for kind in ("service-down", "service-kill"):
        lasts = frozen if kind == "service-down" else {"service": "open-vswitch", "target": "source"}
        with pytest.raises(Problem, match=f"{kind}: with Open vSwitch in user space the router of Neutron's agents"):
            made(in_switch, kind=kind, **lasts)


async def test_a_service_is_gone_before_systemd_keeps_it_down_and_is_started_after_that() -> None:
    stopped, did = asyncio.Event(), list[list[str]]()

    class Node:
        async def run(self, argv: list[str], **_: object) -> str:
            if argv[1] == "stop":
                await stopped.wait()
            did.append(argv)
            return ""

        def pid(self) -> int:
            return 1

    child = await asyncio.create_subprocess_exec("sleep", "60")
    service = Service(cast(Any, Node()), ["a.service"], stay=True)
    service._pid = child.pid
    await service.apply()
    assert await child.wait() == -signal.SIGKILL
    assert did == []
    healing = asyncio.ensure_future(service.heal())
    await asyncio.sleep(0)
    stopped.set()
    await healing
    assert [argv[:2] for argv in did] == [["systemctl", "stop"], ["sh", "-c"]]


def test_every_service_has_its_units() -> None:
    assert set(UNITS) == set(SERVICES)
