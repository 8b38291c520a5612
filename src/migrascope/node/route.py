"""The way from this machine to an address, as its kernel has it."""

import socket
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

_LOOPBACK, _NOARP = 0x8, 0x80  # IFF_LOOPBACK, IFF_NOARP (linux/if.h)
_ANY_PORT = 9
"""Nothing is sent there: the kernel is only asked how it would be."""


def own_address(towards: str) -> str:
    """The address from which the kernel sends to another of either family, in the calling thread's network namespace.
    OSError where it has no way there."""
    family = socket.AF_INET6 if ":" in towards else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as way:
        way.connect((towards, _ANY_PORT))
        return str(way.getsockname()[0])


def link_of(routes: IPRoute, address: str) -> tuple[int, str] | None:
    """Index and name of the interface on whose link the address is; None where it is behind a router, is this
    machine's own, or the link has no MACs."""
    plain, _, scope = address.partition("%")
    given: dict[str, Any] = {"dst": plain, "family": socket.AF_INET6 if ":" in plain else socket.AF_INET}
    if scope:
        given["oif"] = int(scope) if scope.isdigit() else socket.if_nametoindex(scope)
    found = next(iter(routes.route("get", **given)), None)
    if found is None or any(found.get_attr(name) for name in ("RTA_GATEWAY", "RTA_VIA")):
        return None
    index = found.get_attr("RTA_OIF")
    link = next(iter(routes.get_links(index)))
    if link["flags"] & (_LOOPBACK | _NOARP):
        return None
    return index, str(link.get_attr("IFLA_IFNAME"))


def on_our_link(address: str) -> bool:
    """Whether an address is on a link of the calling thread's network namespace, whose neighbour table then has it.
    OSError where it has no way there."""
    try:
        with IPRoute() as routes:
            return link_of(routes, address) is not None
    except NetlinkError as error:
        raise OSError(error.code, str(error)) from error
