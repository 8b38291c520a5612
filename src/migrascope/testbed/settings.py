"""What one testbed differs in from another: names, addresses, how guests run, how they are migrated."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

CONTROLLER, COMPUTE = "controller", "compute"
NODES = (CONTROLLER, COMPUTE)
HOSTS = ("client", "origin")
PREFIX = {
    "management": "10.0.1.",
    "storage": "10.0.2.",
    "migration": "10.0.3.",
    "tenant": "10.0.4.",
    "external": "192.0.2.",
}
JOINED = {
    "management": NODES,
    "storage": NODES,
    "migration": NODES,
    "tenant": NODES,
    "external": (CONTROLLER, *HOSTS),
}
# On these links Neutron has the node's interface to itself: it has no address there.
BARE = (("tenant", CONTROLLER), ("tenant", COMPUTE), ("external", CONTROLLER))
_LAST = {"fabric": 1, CONTROLLER: 11, COMPUTE: 12, "client": 30, "origin": 40}


def address(node: str, link: str) -> str:
    """The IPv4 address of a node, or of the fabric, on a link, without its length (all are /24)."""
    return f"{PREFIX[link]}{_LAST[node]}"


@dataclass(frozen=True)
class Migration:
    """Nova's settings of live migrations, [libvirt] live_migration_*, with Nova's own defaults.

    bandwidth_mib_s: 0 is no limit. parallel_connections: streams of memory (multifd); 1 is the plain migration.
    """

    downtime_ms: int = 500
    downtime_steps: int = 10
    downtime_delay_s: int = 75
    completion_timeout_s: int = 800
    timeout_action: Literal["abort", "force_complete"] = "abort"
    permit_post_copy: bool = False
    permit_auto_converge: bool = False
    bandwidth_mib_s: int = 0
    parallel_connections: int = 1


@dataclass(frozen=True)
class Settings:
    """One testbed.

    loopback is the address of this machine at which its APIs (each on its own port) and Horizon (port 80) answer; the
    public endpoints of the catalog are there. datapath is Open vSwitch's: netdev is the user-space one. osd_bytes is
    the size of each node's sparse Ceph store.
    """

    name: str = "testbed"
    loopback: str = "127.77.0.1"
    virt_type: Literal["kvm", "qemu"] = "qemu"
    cpu_model: str = "qemu64"
    datapath: Literal["netdev", "system"] = "netdev"
    osd_bytes: int = 20 * 2**30
    migration: Migration = field(default_factory=Migration)

    @property
    def id(self) -> str:
        """What the names of its namespaces and cgroups begin with."""
        return f"ms-{self.name}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Settings":
        """TypeError for keys that there are not."""
        return cls(**{**data, "migration": Migration(**data["migration"])})
