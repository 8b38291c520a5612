"""What disturbances are brought about with on the testbed."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from migrascope.cloud.server import Server
from migrascope.lab.injectors import store_writer
from migrascope.lab.injectors.capacity import need_capacity
from migrascope.lab.injectors.host_stress import HostStress
from migrascope.lab.injectors.links import LinkDown, LinkRate, OneWay
from migrascope.lab.injectors.qemu_process import QemuSignal
from migrascope.lab.injectors.store_load import StoreLoad
from migrascope.lab.testbed.control import TestbedControl
from migrascope.lab.testbed.injectors.commands import Abort, ForceComplete, SecondMigration
from migrascope.lab.testbed.injectors.flows import AnnouncementLoss
from migrascope.lab.testbed.injectors.processes import NodeOff, qemu_of
from migrascope.lab.testbed.injectors.recovery import NAMESPACE, Recovery, on_node
from migrascope.lab.testbed.injectors.services import Service, ServiceHangs
from migrascope.lab.testbed.nodes import UNITS
from migrascope.model.disturbance import Disturbance
from migrascope.model.kinds.kind import Injector, Side, Tools, Way
from migrascope.model.problem import Problem
from migrascope.node.container import Container
from migrascope.node.namespace import Namespace
from migrascope.node.process import Where


@dataclass(frozen=True)
class Aim:
    """What a disturbance of a trial is aimed at: a server that moves from source to destination. mac, addresses: of its
    port."""

    server: Server
    source: str
    destination: str
    folder: Path
    mac: str
    addresses: Sequence[str]


def injector(disturbance: Disturbance, aim: Aim, control: TestbedControl) -> Injector:
    """What brings a disturbance about."""
    return disturbance.made.injector(disturbance, TestbedTools(disturbance, aim, control))


class TestbedTools(Tools):
    """What the testbed brings a disturbance about with."""

    def __init__(self, disturbance: Disturbance, aim: Aim, control: TestbedControl) -> None:
        self._one, self._aim, self._nodes, self._boot = disturbance, aim, control.nodes, control.boot
        self._hosts = {"source": aim.source, "destination": aim.destination, "controller": self._nodes.controller}
        self._log = aim.folder / f"{disturbance.name}.log"

    def cut_link(self, link: str, way: Way | None, side: Side | None) -> Injector:
        if way in ("from-source", "from-destination"):
            return OneWay(self._nodes.lab_links, link, self._hosts[way.removeprefix("from-")])
        own = {"tenant": [self._aim.source, self._aim.destination], "external": ["client"]}
        nodes = [self._hosts[side]] if side is not None else own.get(link, [self._aim.source])
        return LinkDown(self._nodes.lab_links, link, nodes)

    def lose_announcements(self) -> Injector:
        return AnnouncementLoss(self._node("destination"), self._aim.mac, self._aim.addresses)

    def limit_link(self, link: str, rate: float) -> Injector:
        return LinkRate(self._nodes.lab_links, link, rate)

    def flood_link(self, link: str, rate: float) -> Injector:
        return self._beside("source", 1, "udp", self._nodes.address(self._aim.destination, link), str(rate))

    def kill_qemu(self, side: str) -> Injector:
        return self._signal(side, freeze=False)

    def freeze_qemu(self, side: str) -> Injector:
        return self._signal(side, freeze=True)

    def load_store(self, size: int, rate: float) -> Injector:
        need_capacity(self._one, "openstack")
        words = ("rados", NAMESPACE, str(size), str(rate))
        return StoreLoad(on_node(self._monitor, Path(store_writer.__file__), *words), rate, self._log)

    def recover_store(self, side: str, size: int) -> Injector:
        need_capacity(self._one, "openstack")
        return Recovery(self._node(side), self._monitor, size, self._log)

    def occupy_processors(self, side: str, count: int) -> Injector:
        return self._beside(side, count, "cpu")

    def abort_migration(self) -> Injector:
        return Abort(self._aim.server)

    def force_completion(self) -> Injector:
        return ForceComplete(self._aim.server)

    def migrate_again(self) -> Injector:
        return SecondMigration(self._aim.server)

    def kill_service(self, node: str, service: str, *, stay: bool) -> Injector:
        if service == "open-vswitch" and self._nodes.router_in_switch:
            raise Problem(
                f"{self._one.kind}: with Open vSwitch in user space the router of Neutron's agents is gone for good:"
                " service-freeze, or a network of OVN"
            )
        return Service(self._node(node), UNITS[service], stay=stay)

    def freeze_service(self, node: str, service: str) -> Injector:
        return ServiceHangs(self._node(node), UNITS[service])

    def power_off(self, side: str) -> Injector:
        return NodeOff(self._node(side), self._boot)

    def _signal(self, side: str, *, freeze: bool) -> Injector:
        return QemuSignal(partial(qemu_of, self._node(side), self._aim.server.id), freeze=freeze)

    @property
    def _monitor(self) -> Namespace:
        return self._nodes.lab_links.nodes[self._nodes.controller]

    def _node(self, name: str) -> Container:
        return self._nodes.by_name[self._hosts[name]]

    def _beside(self, side: str, count: int, *words: str) -> HostStress:
        where = Where(self._nodes.lab_links.nodes[self._hosts[side]])
        return HostStress(self._one.kind, list(words), count, where, self._log)
