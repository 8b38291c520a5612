"""TCP's segments to and from one port, counted as a bridge forwards them: nftables in its network namespace."""

import errno
from typing import Any, NamedTuple

from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.nfnetlink.nftsocket import NFPROTO_BRIDGE, Cmp, Meta, Regs
from pyroute2.nftables.expressions import genex
from pyroute2.nftables.main import NFTables

_CHAIN, _ACCEPT = "forward", 1
_TRANSPORT, _SOURCE, _DESTINATION = 2, 0, 2
"""The header that holds the ports, and where each is in it."""
_TCP = 6
ETHERNET = 14
"""What a frame has beside the packet that a bridge's counter counts."""


class Passed(NamedTuple):
    """Frames so far to a port, and from it: bytes with Ethernet's header, and how many."""

    to_bytes: int
    to_packets: int
    from_bytes: int
    from_packets: int


class Flow:
    """Counts from when it is made, in the network namespace of the thread that makes it. Remove it."""

    def __init__(self, name: str, port: int) -> None:
        """name: of its table there. NetlinkError where this kernel has no nftables for bridges."""
        self._name, self._nft = name, NFTables(nfgen_family=NFPROTO_BRIDGE)
        try:
            self._nft.table("add", name=name)
            self._nft.chain("add", table=name, name=_CHAIN, hook=_CHAIN, type="filter", policy=_ACCEPT)
            for at in (_DESTINATION, _SOURCE):
                self._nft.rule("add", table=name, chain=_CHAIN, expressions=_counting(at, port))
        except BaseException:
            self.remove()
            raise

    def read(self) -> Passed:
        """One message to the kernel."""
        rules = [rule for rule in self._nft.get_rules() if rule.get_attr("NFTA_RULE_TABLE") == self._name]
        there, back = (_counted(rule) for rule in rules)
        return Passed(*there, *back)

    def remove(self) -> None:
        """Counts no longer."""
        try:
            self._nft.table("del", name=self._name)
        except NetlinkError as error:
            if error.code not in (errno.ENOENT, errno.EOPNOTSUPP):
                raise
        finally:
            self._nft.close()


def _counting(at: int, port: int) -> list[list[Any]]:
    """The rule: tcp with that port at an offset of its header, counted."""
    register = Regs.NFT_REG_1
    return [
        [genex("meta", {"dreg": register, "key": Meta.NFT_META_L4PROTO})],
        [_equals(bytes([_TCP]))],
        [genex("payload", {"dreg": register, "base": _TRANSPORT, "offset": at, "len": 2})],
        [_equals(port.to_bytes(2, "big"))],
        [genex("counter", {})],
    ]


def _equals(value: bytes) -> Any:
    data = {"attrs": [("NFTA_DATA_VALUE", value)]}
    return genex("cmp", {"sreg": Regs.NFT_REG_1, "op": Cmp.NFT_CMP_EQ, "data": data})


def _counted(rule: Any) -> tuple[int, int]:
    last = rule.get_attr("NFTA_RULE_EXPRESSIONS")[-1].get_attr("NFTA_EXPR_DATA")
    packets = int(last.get_attr("NFTA_COUNTER_PACKETS"))
    return int(last.get_attr("NFTA_COUNTER_BYTES")) + ETHERNET * packets, packets
