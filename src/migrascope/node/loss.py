"""Frames that a bridge loses at random: nftables' numgen, where a kernel may lack netem."""

import ctypes
import errno
import fcntl
import socket
import struct
from collections.abc import Sequence
from typing import Any

from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.nfnetlink.nftsocket import NFPROTO_BRIDGE, Cmp, Meta, Regs
from pyroute2.nftables.expressions import genex, verdict
from pyroute2.nftables.main import NFTables

from migrascope.node.namespace import Namespace
from migrascope.node.namespace_thread import NamespaceThread

_TABLE = "loss"
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

    def make(self, comes_from: Sequence[str], goes_to: Sequence[str], share: float) -> None:
        self.sleep(asleep=True)
        for hook, key, ports in (
            ("prerouting", Meta.NFT_META_IIFNAME, comes_from),
            ("postrouting", Meta.NFT_META_OIFNAME, goes_to),
        ):
            self._nft.chain("add", table=_TABLE, name=hook, hook=hook, type="filter", policy=_ACCEPT)
            for port in ports:
                self._nft.rule("add", table=_TABLE, chain=hook, expressions=_losing(key, port, share))

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
    """Loses a share (0 to 1) of the frames that come from some ports of bridges in a namespace, and of those that go to
    some, from when it is set."""

    def __init__(self, fabric: Namespace, comes_from: Sequence[str], goes_to: Sequence[str], share: float) -> None:
        """OSError where the kernel refuses."""
        self._inside = NamespaceThread(fabric)
        self._table = self._inside.call(Table)
        try:
            self._inside.call(lambda: self._table.make(comes_from, goes_to, share))
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


def _losing(key: int, port: str, share: float) -> list[list[Any]]:
    """The rule: numgen random mod 1000000 < N drop, for one port."""
    register = Regs.NFT_REG_1
    numgen = [("NFTA_NG_DREG", register), ("NFTA_NG_MODULUS", _PARTS), ("NFTA_NG_TYPE", 1), ("NFTA_NG_OFFSET", 0)]
    return [
        [genex("meta", {"dreg": register, "key": key})],
        [_compared(Cmp.NFT_CMP_EQ, port.encode().ljust(16, b"\0"))],
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
