"""A router that advertises a prefix, of which guests make their addresses (RFC 4861, 4.2 and 4.6.2; RFC 4862)."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv6Network

from migrascope.node.namespace import Namespace

_ALL_NODES, _EVERY_S = "ff02::1", 1.0
_LIFETIME_S, _HOPS = 1800, 255
_ON_LINK, _AUTONOMOUS = 0x80, 0x40


@asynccontextmanager
async def advertising(space: Namespace, link: str, prefix: str) -> AsyncIterator[None]:
    """It does so each second, for the length of a with block. link: its interface, which has IPv6. prefix: a /64."""

    def opened() -> socket.socket:
        router = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        router.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex(link))
        router.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, _HOPS)
        return router

    async def advertise(router: socket.socket) -> None:
        while True:
            router.sendto(message_of(prefix), (_ALL_NODES, 0))
            await asyncio.sleep(_EVERY_S)

    with space.call(opened) as router:
        sending = asyncio.create_task(advertise(router))
        try:
            yield
        finally:
            sending.cancel()
            (ended,) = await asyncio.gather(sending, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError), ended


def message_of(prefix: str) -> bytes:
    """A router advertisement of a prefix; the kernel puts the checksum in."""
    network = IPv6Network(prefix)
    header = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, _LIFETIME_S, 0, 0)
    flags = _ON_LINK | _AUTONOMOUS
    option = struct.pack("!BBBBIII", 3, 4, network.prefixlen, flags, _LIFETIME_S, _LIFETIME_S, 0)
    return header + option + network.network_address.packed
