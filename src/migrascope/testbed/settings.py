"""What one testbed differs in from another: names, addresses, how guests run, how they are migrated."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from ipaddress import IPv4Address, IPv6Network
from typing import Any, Literal

from pydantic import TypeAdapter

from migrascope.model.family import FIRST, SECOND, Family
from migrascope.model.name import named
from migrascope.model.network import Activation, FloatingIps, Network, Tenant
from migrascope.model.problem import UsageProblem

TENANTS: dict[Network, tuple[Tenant, ...]] = {"agents": ("vlan", "vxlan", "geneve"), "ovn": ("geneve", "vlan")}
"""How tenants' networks can share their link under each, the default first."""
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
BARE = (("tenant", CONTROLLER), ("tenant", COMPUTE), ("external", CONTROLLER), ("external", COMPUTE))
_LAST = {"fabric": 1, "router": 10, CONTROLLER: 11, COMPUTE: 12, "client": 30, "origin": 40}
EXTERNAL_6, INSTANCES_6 = IPv6Network("fd4d:6967:7261:c0::/64"), IPv6Network("fd4d:6967:7261:a1::/64")
"""Unique local addresses (RFC 4193) of visitors and of instances; the second ones are reached through the router."""


def address(node: str, link: str) -> str:
    """The IPv4 address of a node, or of the fabric, on a link, without its length (all are /24)."""
    return f"{PREFIX[link]}{_LAST[node]}"


def address_6(node: str) -> str:
    """The IPv6 address on the link `external` of client, fabric or the cloud's router, without its length (64)."""
    return f"{EXTERNAL_6.network_address}{_LAST[node]}"


# nova/conf/libvirt.py
_LEAST = {
    "downtime_ms": 100,
    "downtime_steps": 3,
    "downtime_delay_s": 3,
    "completion_timeout_s": 0,
    "bandwidth_mib_s": 0,
    "max_concurrent": 0,
}


@dataclass(frozen=True)
class Migration:
    """Nova's settings of live migrations, [libvirt] live_migration_* and [DEFAULT] max_concurrent_live_migrations, with
    Nova's own defaults.

    completion_timeout_s, bandwidth_mib_s and max_concurrent: 0 is no limit. tls: QEMU encrypts the stream itself.
    UsageProblem for what nova-compute would not start with.
    """

    downtime_ms: int = 500
    downtime_steps: int = 10
    downtime_delay_s: int = 75
    completion_timeout_s: int = 800
    timeout_action: Literal["abort", "force_complete"] = "abort"
    permit_post_copy: bool = False
    permit_auto_converge: bool = False
    bandwidth_mib_s: int = 0
    max_concurrent: int = 1
    tls: bool = False

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise UsageProblem(f"{name} is at least {least} in Nova")


@dataclass(frozen=True)
class Settings:
    """One testbed.

    loopback is the address of this machine at which its APIs (each on its own port) and Horizon (port 80) answer; the
    public endpoints of the catalog are there. network is who wires ports: Neutron's agents of Open vSwitch, or OVN.
    datapath is Open vSwitch's: netdev is the user-space one. tenant is how the tenants' networks are told apart on
    their link; activation is when OVN lets a port be active on the host to which its server comes; floating_ips is
    where OVN has their NAT: on the controller, the router's gateway, or on the node of each server, which is on the
    external link then. UsageProblem for what the network has not. families are those of the instances' network; it has
    IPv6 where this machine's kernel has it. osd_bytes is the size of each node's sparse Ceph store.
    """

    name: str = "testbed"
    loopback: str = "127.77.0.1"
    virt_type: Literal["kvm", "qemu"] = "qemu"
    cpu_model: str = "qemu64"
    datapath: Literal["netdev", "system"] = "netdev"
    network: Network = "agents"
    tenant: Tenant = "vlan"
    activation: Activation = "rarp"
    floating_ips: FloatingIps = "centralized"
    families: tuple[Family, ...] = (FIRST, SECOND)
    osd_bytes: int = 20 * 2**30
    migration: Migration = field(default_factory=Migration)

    def __post_init__(self) -> None:
        if self.tenant not in (known := TENANTS[self.network]):
            raise UsageProblem(
                f"tenants' networks by {self.tenant} are not there with {self.network}: {', '.join(known)}"
            )
        if self.activation != "rarp" and self.network != "ovn":
            raise UsageProblem(f"ports that are active {self.activation} are OVN's: --network ovn")
        if self.distributed and self.network != "ovn":
            raise UsageProblem("floating IPs that are distributed are OVN's: --network ovn")
        # With VLANs Neutron has routed frames bridged (redirect-type), which takes a MAC of the router's for each
        # chassis (ovn-chassis-mac-mappings).
        if self.distributed and not self.tunnels:
            raise UsageProblem(
                f"floating IPs that are distributed are not there with tenants' networks by {self.tenant}: geneve"
            )

    @property
    def tunnels(self) -> bool:
        """Whether the tenants' networks are in tunnels between the nodes."""
        return self.tenant != "vlan"

    @property
    def distributed(self) -> bool:
        """Whether each node has the NAT of its servers' floating IPs."""
        return self.floating_ips == "distributed"

    @property
    def joined(self) -> Mapping[str, tuple[str, ...]]:
        """The nodes and hosts on each link."""
        return {**JOINED, "external": (*NODES, *HOSTS)} if self.distributed else JOINED

    @property
    def id(self) -> str:
        """What the names of its namespaces and cgroups begin with."""
        return f"ms-{self.name}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Settings":
        """ValueError for what to_json did not give; settings of migrations that there are no longer are left out, and
        where it did not say families yet, the network has IPv4 alone. Problem for what cannot be part of a path."""
        settings = TypeAdapter(cls).validate_python({"families": [FIRST], **data})
        named("settings.json: name", settings.name)
        if not IPv4Address(settings.loopback).is_loopback:
            raise ValueError(f"loopback: {settings.loopback} is no address of 127.0.0.0/8")
        return settings
