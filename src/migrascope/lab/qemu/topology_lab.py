"""What labs on this machine's topology share."""

from pathlib import Path

from migrascope.lab.qemu.disturbing import heal_links
from migrascope.lab.qemu.topology import Topology, address
from migrascope.model.schedule import HOSTS, Factors
from migrascope.node.namespace import Namespace
from migrascope.node.register import Register


class TopologyLab:
    """Its hosts, its client and origin, and its folder."""

    hosts = HOSTS
    origin = address("origin", "external")

    def __init__(self, register: Register, topology: Topology) -> None:
        self.register, self.topology = register, topology

    @property
    def folder(self) -> Path:
        return self.register.folder

    @property
    def client(self) -> Namespace:
        return self.topology.nodes["client"]

    def make_way(self, factors: Factors, folder: Path) -> None:
        """The links as a trial finds them, the migration link at its rate (0: as fast as it is), and a folder."""
        folder.mkdir(exist_ok=True)
        heal_links(self.topology)
        self.topology.links["migration"].set_rate(factors.link_bps or None)
