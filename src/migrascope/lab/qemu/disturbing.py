"""What disturbances are brought about with on the QEMU lab."""

import sys
from pathlib import Path

from migrascope.lab.injectors import store_writer
from migrascope.lab.injectors.capacity import need_capacity
from migrascope.lab.injectors.delay import LinkDelay
from migrascope.lab.injectors.host_stress import HostStress
from migrascope.lab.injectors.links import LinkDown, LinkRate, OneWay
from migrascope.lab.injectors.losses import AnnouncementLoss, LinkLoss
from migrascope.lab.injectors.neighbours import StaleNeighbour
from migrascope.lab.injectors.store_load import StoreLoad
from migrascope.lab.qemu import migration
from migrascope.lab.qemu.injectors.commands import Abort, Held, SecondMigration
from migrascope.lab.qemu.injectors.processes import Freeze, Kill
from migrascope.lab.qemu.injectors.shortage import NoMemory, NoSpace
from migrascope.lab.qemu.instance import Instance
from migrascope.lab.qemu.topology import INSTANCE_ADDRESS, INSTANCE_ADDRESS_6, Topology, address
from migrascope.lab.qemu.volume import Stored, Volume
from migrascope.model.disturbance import Disturbance
from migrascope.model.family import SECOND
from migrascope.model.kinds.kind import Injector, Side, Tools, Way
from migrascope.node.process import Process, Where


def injector(disturbance: Disturbance, instance: Instance, topology: Topology, destination: str) -> Injector:
    """What brings a disturbance about for an instance that is to move to `destination`."""
    made = disturbance.made.injector(disturbance, QemuTools(disturbance, instance, topology, destination))
    return Held(made, instance) if disturbance.hold else made


class HostTools(Tools):
    """What disturbances of the links, the hosts and the store are brought about with: on each lab of this topology.
    lab: its kind. hosts: source and destination. volume: the instance's. folder: of the trial."""

    def __init__(
        self, disturbance: Disturbance, lab: str, topology: Topology, hosts: tuple[str, str], volume: Stored,
        folder: Path,
    ) -> None:  # fmt: skip
        self._one, self._lab, self._topology, self._volume = disturbance, lab, topology, volume
        self._hosts = dict(zip(("source", "destination"), hosts, strict=True))
        self._log = folder / f"{disturbance.name}.log"

    def cut_link(self, link: str, way: Way | None, side: Side | None) -> Injector:
        if way in ("from-source", "from-destination"):
            return OneWay(self._topology.lab_links, link, self._hosts[way.removeprefix("from-")])
        return LinkDown(self._topology.lab_links, link, self._nodes(link, side))

    def lose_frames(self, link: str, share: float, way: Way | None, side: Side | None) -> Injector:
        out, back = _directions(way)
        return LinkLoss(self._topology.lab_links, link, self._nodes(link, side), share, from_node=out, to_node=back)

    def delay_frames(self, link: str, seconds: float, way: Way | None, side: Side | None) -> Injector:
        out, back = _directions(way)
        nodes = self._nodes(link, side)
        return LinkDelay(self._topology.lab_links, link, nodes, seconds * out, seconds * back, self._log)

    def lose_announcements(self) -> Injector:
        links, hosts = self._topology.lab_links, list(self._hosts.values())
        return AnnouncementLoss(links, "tenant", hosts, INSTANCE_ADDRESS)

    def mislead_router(self) -> Injector:
        addresses = [INSTANCE_ADDRESS, INSTANCE_ADDRESS_6] if SECOND in self._topology.families else [INSTANCE_ADDRESS]
        return StaleNeighbour(self._topology.lab_links, "tenant", addresses)

    def limit_link(self, link: str, rate: float) -> Injector:
        return LinkRate(self._topology.lab_links, link, rate)

    def flood_link(self, link: str, rate: float) -> Injector:
        to = self._hosts["destination"] if link == "migration" else "storage"
        return self._beside("source", 1, "udp", address(to, link), str(rate))

    def fill_store(self) -> Injector:
        return NoSpace(lambda: _alive(self._shared().process))

    def _shared(self) -> Volume:
        """The volume, which is on the storage network: a plan that disturbs it there while it is not was refused."""
        assert isinstance(self._volume, Volume)
        return self._volume

    def load_store(self, size: int, rate: float) -> Injector:
        """A writer in the node `storage`, beside the instance's volume."""
        need_capacity(self._one, self._lab)
        words = ["file", str(self._shared().path.parent), str(size), str(rate)]
        argv = [sys.executable, "-I", "-S", store_writer.__file__, *words]
        return StoreLoad(Where(self._topology.nodes["storage"]).command(argv), rate, self._log)

    def hold_memory(self, side: str, size: int) -> Injector:
        need_capacity(self._one, self._lab)
        return self._beside(side, 1, "memory", str(size))

    def occupy_processors(self, side: str, count: int) -> Injector:
        return self._beside(side, count, "cpu")

    def _beside(self, side: str, count: int, *words: str) -> HostStress:
        where = Where(self._topology.nodes[self._hosts[side]])
        return HostStress(self._one.kind, list(words), count, where, self._log)

    def _nodes(self, link: str, side: Side | None) -> list[str]:
        """The nodes at whose ports a link is disturbed."""
        if side is not None:
            return [self._hosts[side]]
        own = {"migration": [self._hosts["source"]], "storage": ["storage"], "external": ["client"]}
        return own.get(link, list(self._hosts.values()))


class QemuTools(HostTools):
    """What the QEMU lab brings a disturbance about with."""

    def __init__(self, disturbance: Disturbance, instance: Instance, topology: Topology, destination: str) -> None:
        hosts = (instance.host, destination)
        super().__init__(disturbance, "qemu", topology, hosts, instance.volume, instance.folder)
        self._instance = instance

    def kill_qemu(self, side: str) -> Injector:
        return Kill(self._process(side))

    def freeze_qemu(self, side: str) -> Injector:
        return Freeze(self._process(side))

    def starve_qemu(self, side: str) -> Injector:
        return NoMemory(self._topology.register, self._process(side))

    def fill_host(self, side: str) -> Injector:
        return NoSpace(lambda: _alive(self._process(side)))

    def abort_migration(self) -> Injector:
        return Abort(self._instance)

    def migrate_again(self) -> Injector:
        uri = migration.uri_of(self._topology, self._hosts["destination"])
        return SecondMigration(self._instance.monitors[self._instance.host], uri)

    def _process(self, side: str) -> Process:
        return self._instance.processes[self._hosts[side]]


def _alive(process: Process | None) -> int | None:
    """Its number, while it runs."""
    return None if process is None or process.ended else process.pid


def _directions(way: Way | None) -> tuple[bool, bool]:
    """Whether what a link's nodes send is disturbed, and what they get."""
    return way != "from-destination", way != "from-source"


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
