"""Which injector brings a disturbance about on the QEMU lab."""

import sys
from pathlib import Path

from migrascope.lab.disturbable import Injector
from migrascope.lab.injectors import storewriter
from migrascope.lab.injectors.beside import Beside
from migrascope.lab.injectors.delay import LinkDelay
from migrascope.lab.injectors.links import LinkDown, LinkRate, OneWay
from migrascope.lab.injectors.losses import LinkLoss
from migrascope.lab.injectors.room import need_room
from migrascope.lab.injectors.storeload import StoreLoad
from migrascope.lab.qemu import migration
from migrascope.lab.qemu.injectors.commands import Abort, Held, SecondMigration
from migrascope.lab.qemu.injectors.processes import Freeze, Kill
from migrascope.lab.qemu.injectors.shortage import NoMemory, NoSpace
from migrascope.lab.qemu.instance import Instance
from migrascope.lab.qemu.topology import Topology, address
from migrascope.model.disturbance import Disturbance
from migrascope.node.process import Where


def injector(disturbance: Disturbance, instance: Instance, topology: Topology, destination: str) -> Injector:
    """The injector for an instance that is to move to `destination`."""
    made = _injector(disturbance, instance, topology, destination)
    return Held(made, instance) if disturbance.hold else made


def _injector(disturbance: Disturbance, instance: Instance, topology: Topology, destination: str) -> Injector:
    one, source = disturbance, instance.host
    host = {"source": source, "destination": destination}.get(one.target, "")
    log = instance.folder / f"{one.name}.log"
    out, back = one.way != "from-destination", one.way != "from-source"

    def competing(count: int, *words: str) -> Beside:
        node = topology.nodes[host or source]
        return Beside(one.kind, list(words), count, Where(node), log)

    if one.kind == "link-down" and one.way in ("from-source", "from-destination"):
        return OneWay(topology.wires, one.target, source if one.way == "from-source" else destination)
    if one.kind == "link-down":
        return LinkDown(topology.wires, one.target, _cut_off(one, source, destination))
    if one.kind == "link-loss":
        assert one.loss is not None
        nodes = _cut_off(one, source, destination)
        return LinkLoss(topology.wires, one.target, nodes, one.loss, from_node=out, to_node=back)
    if one.kind == "link-delay":
        assert one.delay is not None
        nodes = _cut_off(one, source, destination)
        return LinkDelay(topology.wires, one.target, nodes, one.delay * out, one.delay * back, log)
    if one.kind == "link-rate":
        assert one.rate is not None
        return LinkRate(topology.wires, one.target, one.rate)
    if one.kind == "traffic":
        to = destination if one.target == "migration" else "storage"
        return competing(1, "udp", address(to, one.target), str(one.rate))
    if one.kind == "host-memory":
        need_room(one, "qemu")
        return competing(1, "memory", str(one.working_set))
    if one.kind == "storage-load":
        return _store_load(one, instance, topology, log)
    if one.kind == "no-memory":
        return NoMemory(topology.register, instance.processes[host])
    if one.kind == "no-space":
        return NoSpace(instance.volume)
    if one.kind == "host-cpu":
        return competing(one.workers or 1, "cpu")
    if one.kind in ("qemu-kill", "qemu-freeze"):
        process = instance.processes[host]
        return Kill(process) if one.kind == "qemu-kill" else Freeze(process)
    if one.kind == "abort":
        return Abort(instance.monitors[source])
    assert one.kind == "second-migration"
    return SecondMigration(instance.monitors[source], migration.uri_of(destination))


def _store_load(one: Disturbance, instance: Instance, topology: Topology, log: Path) -> StoreLoad:
    """A writer in the node `storage`, beside the instance's volume."""
    need_room(one, "qemu")
    assert one.write_rate is not None
    words = ["file", str(instance.volume.path.parent), str(one.working_set), str(one.write_rate)]
    argv = [sys.executable, "-I", "-S", storewriter.__file__, *words]
    return StoreLoad(Where(topology.nodes["storage"]).command(argv), one.write_rate, log)


def _cut_off(one: Disturbance, source: str, destination: str) -> list[str]:
    """The nodes at whose ports a link is disturbed."""
    if one.host is not None:
        return [source if one.host == "source" else destination]
    own = {"migration": [source], "storage": ["storage"], "external": ["client"]}
    return own.get(one.target, [source, destination])


def heal_links(topology: Topology) -> list[str]:
    """Opens every port that is closed, and lifts limits that are not the migration link's; says which."""
    healed = []
    for link in topology.links.values():
        for node in link.ports:
            if link.is_cut(node):
                link.heal(node)
                healed.append(f"{link.name} of {node}")
        if link.name != "migration" and link.rate_bps is not None:
            link.set_rate(None)
            healed.append(f"rate of {link.name}")
    return healed
