"""What wires the ports of a testbed's servers, as levels of a plan's axis."""

from typing import Literal, NamedTuple, cast

Network = Literal["agents", "ovn"]
Tenant = Literal["vlan", "vxlan", "geneve"]
Activation = Literal["rarp", "at-once"]
NetworkLevel = Literal[
    "agents-vlan", "agents-vxlan", "agents-geneve", "ovn-geneve", "ovn-vlan", "ovn-geneve-at-once", "ovn-vlan-at-once"
]


class Way(NamedTuple):
    """network: who wires ports, Neutron's agents of Open vSwitch or OVN. tenant: how tenants' networks share their
    link. activation: when a port is active on the host to which its server comes, with the RARP that QEMU sends there
    (Neutron's default with OVN) or at once."""

    network: Network
    tenant: Tenant
    activation: Activation = "rarp"

    @classmethod
    def of(cls, level: NetworkLevel) -> "Way":
        """The way that a level of axes.network names."""
        network, tenant, *activation = level.split("-", 2)
        active = cast(Activation, activation[0]) if activation else "rarp"
        return cls(cast(Network, network), cast(Tenant, tenant), active)
