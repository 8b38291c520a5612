"""Frames that a bridge loses, at random (nftables' numgen: a kernel may lack netem) or because of what they are."""

import ctypes
import errno
import fcntl
import socket
import struct
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.nfnetlink.nftsocket import NFPROTO_BRIDGE, Cmp, Meta, Regs
from pyroute2.nftables.expressions import genex, verdict
from pyroute2.nftables.main import NFTables

from migrascope.node.namespace import Namespace
from migrascope.node.namespace_thread import NamespaceThread

Rule = list[list[Any]]
Chains = Mapping[str, Sequence[Rule]]
"""By hook of a bridge: which frames are dropped there."""
_TABLE = "loss"
_LINK, _NETWORK = 0, 1
_TYPE = (_LINK, 12)
_RARP, _ARP, _IPV6 = b"\x80\x35", b"\x08\x06", b"\x86\xdd"
_SENDER, _ASKED = (_NETWORK, 14), (_NETWORK, 24)
"""Addresses of an ARP message over Ethernet and IPv4 (RFC 826)."""
_NEXT, _TO, _ICMP_TYPE = (_NETWORK, 6), (_NETWORK, 24), (_NETWORK, 40)
"""Of an IPv6 packet without extension headers: the next header, the destination, the type of an ICMPv6 message."""
_ICMPV6, _ADVERTISEMENT, _ALL_NODES = b"\x3a", b"\x88", IPv6Address("ff02::1").packed
_PARTS = 10**6
_DROP, _ACCEPT = 0, 1
_DORMANT = 1
_SIOCETHTOOL, _SET_TSO = 0x8946, 0x1F


class Table:
    """The rules in the network namespace of the thread that makes them; they are asleep until they are woken.

    NetlinkError where this kernel has no nftables for bridges, or no random numbers in them.
    """

    def __init__(self) -> None:
        self._nft = NFTables(nfgen_family=NFPROTO_BRIDGE)

    def make(self, chains: Chains) -> None:
        self.sleep(asleep=True)
        for hook, rules in chains.items():
            self._nft.chain("add", table=_TABLE, name=hook, hook=hook, type="filter", policy=_ACCEPT)
            for rule in rules:
                self._nft.rule("add", table=_TABLE, chain=hook, expressions=rule)

    def sleep(self, *, asleep: bool) -> None:
        # in a dictionary, since pyroute2 takes `flags` for those of the message
        self._nft.table("add", kwarg={"name": _TABLE, "flags": _DORMANT if asleep else 0})

    def remove(self) -> None:
        """Removes what has been made, if anything has."""
        try:
            self._nft.table("del", name=_TABLE)
        except NetlinkError as error:
            if error.code != errno.ENOENT:
                raise
        finally:
            self._nft.close()


class Loss:
    """Loses frames of the bridges in a namespace, from when it is set."""

    def __init__(self, fabric: Namespace, chains: Chains) -> None:
        """OSError where the kernel refuses."""
        self._inside = NamespaceThread(fabric)
        self._table = self._inside.call(Table)
        try:
            self._inside.call(lambda: self._table.make(chains))
        except BaseException:
            self.close()
            raise

    def set(self, *, losing: bool) -> None:
        """One message to the kernel."""
        self._inside.call(lambda: self._table.sleep(asleep=not losing))

    def close(self) -> None:
        """Nothing is lost from here on."""
        self._inside.call(self._table.remove)
        self._inside.close()


def at_random(comes_from: Sequence[str], goes_to: Sequence[str], share: float) -> Chains:
    """A share (0 to 1) of the frames that come from some ports, and of those that go to some."""
    return {
        "prerouting": [_losing(Meta.NFT_META_IIFNAME, port, share) for port in comes_from],
        "postrouting": [_losing(Meta.NFT_META_OIFNAME, port, share) for port in goes_to],
    }


def announcements(comes_from: Sequence[str], address: IPv4Address) -> Chains:
    """What comes from some ports and announces a machine: any RARP, ARP that asks for the sender's own address, and
    neighbour advertisements that nobody asked for, as they go to all nodes (RFC 4861, 4.4)."""
    kinds = (
        [(_TYPE, _RARP)],
        [(_TYPE, _ARP), (_SENDER, address.packed), (_ASKED, address.packed)],
        [(_TYPE, _IPV6), (_NEXT, _ICMPV6), (_TO, _ALL_NODES), (_ICMP_TYPE, _ADVERTISEMENT)],
    )
    return {"prerouting": [_dropped(port, parts) for port in comes_from for parts in kinds]}


def _dropped(port: str, parts: Iterable[tuple[tuple[int, int], bytes]]) -> Rule:
    """The rule: frames from a port whose parts, each at an offset of a header, are these."""
    register = Regs.NFT_REG_1
    rule = _of_port(Meta.NFT_META_IIFNAME, port)
    for (base, offset), value in parts:
        rule.append([genex("payload", {"dreg": register, "base": base, "offset": offset, "len": len(value)})])
        rule.append([_compared(Cmp.NFT_CMP_EQ, value)])
    return [*rule, verdict(_DROP)]


def _of_port(key: int, port: str) -> Rule:
    return [
        [genex("meta", {"dreg": Regs.NFT_REG_1, "key": key})],
        [_compared(Cmp.NFT_CMP_EQ, port.encode().ljust(16, b"\0"))],
    ]


def _losing(key: int, port: str, share: float) -> Rule:
    """The rule: numgen random mod 1000000 < N drop, for one port."""
    register = Regs.NFT_REG_1
    numgen = [("NFTA_NG_DREG", register), ("NFTA_NG_MODULUS", _PARTS), ("NFTA_NG_TYPE", 1), ("NFTA_NG_OFFSET", 0)]
    return [
        *_of_port(key, port),
        [{"attrs": [("NFTA_EXPR_NAME", "numgen"), ("NFTA_EXPR_DATA", {"attrs": numgen})]}],
        [genex("byteorder", {"sreg": register, "dreg": register, "op": 1, "len": 4, "size": 4})],
        [_compared(Cmp.NFT_CMP_LT, round(share * _PARTS).to_bytes(4, "big"))],
        verdict(_DROP),
    ]


def _compared(how: int, value: bytes) -> Any:
    return genex("cmp", {"sreg": Regs.NFT_REG_1, "op": how, "data": {"attrs": [("NFTA_DATA_VALUE", value)]}})


class Segments:
    """Whether an interface hands TCP's data on in frames of its own size, or up to 64 KiB at once: who loses frames
    should lose one, not forty."""

    def __init__(self, namespace: Namespace, interface: str) -> None:
        self._interface = interface.encode()
        self._socket = namespace.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))

    def set(self, *, whole: bool) -> None:
        """whole: up to 64 KiB at once, which is the default. OSError where the kernel refuses."""
        value = (ctypes.c_uint32 * 2)(_SET_TSO, whole)
        fcntl.ioctl(self._socket, _SIOCETHTOOL, struct.pack("16sP16x", self._interface, ctypes.addressof(value)))

    def close(self) -> None:
        self._socket.close()
