"""IPv6 in a cloud: the subnet from which an instance has its address of it, and what lacks where there is none.

There are no floating addresses of IPv6: visitors reach the instance's own through the router. The website's guest makes
it itself (SLAAC) from what a router advertises.
"""

import socket
from collections.abc import Iterable
from functools import partial
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Any

from migrascope.cloud.client import Cloud, CloudError
from migrascope.node.namespace import Namespace

_ROUTERS = (
    "network:router_interface",
    "network:router_interface_distributed",
    "network:ha_router_replicated_interface",
)
"""The owners of the ports by which routers are on networks, but for the external ones."""
_OWN = ("slaac", "dhcpv6-stateless")
"""The address modes under which Neutron knows the address that an instance makes itself."""
_LEAVE = "leave ipv6 out of families"


def subnet_of(cloud: Cloud, network: str) -> Any:
    """The subnet of a network (id) from which instances have their addresses of IPv6. CloudError says what lacks."""
    neutron = cloud.connection.network
    subnets = cloud.idempotent(lambda: list(neutron.subnets(network_id=network, ip_version=6)))
    where = f"cloud {cloud.name}: the network {cloud.idempotent(lambda: neutron.get_network(network)).name}"
    if not subnets:
        raise CloudError(f"{where} has no subnet of IPv6: name another (cloud.network), or {_LEAVE}")
    found = [subnet for subnet in subnets if subnet.ipv6_address_mode in _OWN]
    if not found:
        modes = ", ".join(f"{subnet.cidr}: {subnet.ipv6_address_mode or 'no mode'}" for subnet in subnets)
        wanted = " or ".join(_OWN)
        raise CloudError(f"{where} has no subnet of IPv6 by {wanted} ({modes}): the guest does no other; {_LEAVE}")
    # Without a mode of advertisements Neutron leaves these to a router outside.
    advertised = {
        str(fixed["subnet_id"]) for port in router_ports(cloud, network_id=network) for fixed in port.fixed_ips or []
    }
    advertised |= {subnet.id for subnet in found if subnet.ipv6_ra_mode is None}
    chosen = next((subnet for subnet in found if subnet.id in advertised), None)
    if chosen is None:
        raise CloudError(f"{where}: no router is on {found[0].cidr} and advertises it: add one, or {_LEAVE}")
    return chosen


def router_ports(cloud: Cloud, **query: str) -> list[Any]:
    """The ports by which routers are on networks, but for the external ones. query: what else Neutron is asked for."""
    ports = cloud.connection.network.ports
    return cloud.idempotent(lambda: [port for owner in _ROUTERS for port in ports(device_owner=owner, **query)])


def address_in(prefix: str, fixed: Iterable[dict[str, Any]]) -> str:
    """The address of a port in a prefix. fixed: all of its addresses, as Neutron tells them. CloudError where it has
    none."""
    found = next((str(each["ip_address"]) for each in fixed if _inside(each["ip_address"], prefix)), None)
    if found is None:
        raise CloudError(f"Neutron gave a port no address in {prefix}")
    return found


def _inside(address: str, prefix: str) -> bool:
    return ip_address(address) in IPv6Network(prefix)


def need_way(client: Namespace | None, prefix: str) -> None:
    """CloudError where the client (None: this machine) knows no way to a prefix. That the way leads there is not
    known."""
    known = partial(_is_known, IPv6Network(prefix)[1])
    if not (known() if client is None else client.call(known)):
        where = "this machine" if client is None else f"the namespace {client.name}"
        raise CloudError(
            f"{where} knows no way to the instances' {prefix}: ip -6 route add {prefix} via the router's address"
            f" on the external network, or {_LEAVE}"
        )


def _is_known(address: IPv6Address) -> bool:
    """By connecting a datagram socket, which sends nothing."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as way:
            way.connect((str(address), 9))
    except OSError:
        return False
    return True
