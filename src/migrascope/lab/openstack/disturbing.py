"""Which injector brings a disturbance about on a cloud whose parts are ours."""

from dataclasses import dataclass
from pathlib import Path

from migrascope.cloud.server import Server
from migrascope.lab.disturbable import Injector
from migrascope.lab.injectors import storewriter
from migrascope.lab.injectors.beside import Beside
from migrascope.lab.injectors.links import LinkDown, LinkRate, OneWay
from migrascope.lab.injectors.room import need_room
from migrascope.lab.injectors.storeload import StoreLoad
from migrascope.lab.openstack.injectors.commands import Abort, Command, ForceComplete, SecondMigration
from migrascope.lab.openstack.injectors.processes import NodeOff, Qemu
from migrascope.lab.openstack.injectors.recovery import NAMESPACE, Recovery, on_node
from migrascope.lab.openstack.injectors.services import Service
from migrascope.lab.openstack.parts import UNITS, Parts
from migrascope.model.disturbance import Disturbance
from migrascope.node.process import Where

_COMMANDS: dict[str, type[Command]] = {
    "abort": Abort,
    "force-complete": ForceComplete,
    "second-migration": SecondMigration,
}


@dataclass(frozen=True)
class Aim:
    """What a disturbance of a trial is aimed at: a server that moves from source to destination."""

    server: Server
    source: str
    destination: str
    folder: Path


def injector(disturbance: Disturbance, aim: Aim, parts: Parts) -> Injector:
    """The injector of a kind that is not steered through the guest."""
    one = disturbance
    host = {"source": aim.source, "destination": aim.destination, "controller": parts.controller}.get(one.target, "")
    if one.kind in _COMMANDS:
        return _COMMANDS[one.kind](aim.server)
    if one.kind in ("service-kill", "service-down"):
        return Service(parts.nodes[host], UNITS[one.service or ""], stay=one.kind == "service-down")
    if one.kind in ("qemu-kill", "qemu-freeze"):
        return Qemu(parts.nodes[host], aim.server.id, freeze=one.kind == "qemu-freeze")
    if one.kind == "node-off":
        return NodeOff(parts.nodes[host], parts.boot)
    if one.kind in ("storage-load", "ceph-recovery"):
        return _of_the_store(one, aim, parts, host)
    return _of_a_link(one, aim, parts, host)


def _of_the_store(one: Disturbance, aim: Aim, parts: Parts, host: str) -> Injector:
    need_room(one, "openstack")
    assert one.working_set is not None
    monitor, log = parts.wires.nodes[parts.controller], aim.folder / f"{one.name}.log"
    if one.kind == "ceph-recovery":
        return Recovery(parts.nodes[host], monitor, one.working_set, log)
    assert one.write_rate is not None
    words = ("rados", NAMESPACE, str(one.working_set), str(one.write_rate))
    return StoreLoad(on_node(monitor, Path(storewriter.__file__), *words), one.write_rate, log)


def _of_a_link(one: Disturbance, aim: Aim, parts: Parts, host: str) -> Injector:
    if one.kind == "link-down" and one.way in ("from-source", "from-destination"):
        return OneWay(parts.wires, one.target, aim.source if one.way == "from-source" else aim.destination)
    if one.kind == "link-down":
        own = {"tenant": [aim.source, aim.destination], "external": ["client"]}
        named = [aim.destination if one.host == "destination" else aim.source]
        return LinkDown(parts.wires, one.target, named if one.host else own.get(one.target, named))
    if one.kind == "link-rate":
        assert one.rate is not None
        return LinkRate(parts.wires, one.target, one.rate)
    words, count = ["cpu"], one.workers or 1
    if one.kind == "traffic":
        words, count = ["udp", parts.address(aim.destination, one.target), str(one.rate)], 1
    where = Where(parts.wires.nodes[host or aim.source])
    return Beside(one.kind, words, count, where, aim.folder / f"{one.name}.log")
