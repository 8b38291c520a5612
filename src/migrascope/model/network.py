"""What wires the ports of a testbed's servers, as levels of a plan's axis."""

from typing import Literal, NamedTuple, cast

Network = Literal["agents", "ovn"]
Tenant = Literal["vlan", "vxlan", "geneve"]
Activation = Literal["rarp", "at-once"]
FloatingIps = Literal["centralized", "distributed"]
"""Where the NAT of floating IPs is, in the words of Neutron's documentation."""
NetworkLevel = Literal[
    "agents-vlan", "agents-vxlan", "agents-geneve", "ovn-geneve", "ovn-vlan", "ovn-geneve-at-once", "ovn-vlan-at-once",
    "ovn-geneve-distributed",
]  # fmt: skip


class Way(NamedTuple):
    """network: who wires ports, Neutron's agents of Open vSwitch or OVN. tenant: how tenants' networks share their
    link. activation: when a port is active on the host to which its server comes, with the RARP that QEMU sends there
    (Neutron's default with OVN) or at once. floating_ips: where their NAT is, on the gateway of the router (Neutron's
    default) or, with OVN, on the host of each server."""

    network: Network
    tenant: Tenant
    activation: Activation = "rarp"
    floating_ips: FloatingIps = "centralized"

    @classmethod
    def of(cls, level: NetworkLevel) -> "Way":
        """The way that a level of axes.network names."""
        network, tenant, *more = level.split("-", 2)
        active: Activation = "at-once" if more == ["at-once"] else "rarp"
        floating: FloatingIps = "distributed" if more == ["distributed"] else "centralized"
        return cls(cast(Network, network), cast(Tenant, tenant), active, floating)
