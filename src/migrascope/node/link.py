"""A link: one bridge in the fabric's namespace, a port for each node, with a rate, a cut and counters.

   host-a            fabric            host-b
[migration]---a-migration | b-migration---[migration]
                 bridge `migration`
"""

import os
import secrets
import socket
import struct
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from pyroute2 import IPRoute

from migrascope.model.clock import mono_ns
from migrascope.node.namespace import Namespace, index_of

_FORWARDING, _DISABLED = 3, 0
_MTU = 1500
_QUEUE_S = 0.005
"""So long is what waits where guests' frames pass, whose senders do not feel this queue: it would only delay them."""
_PASSING = ("tenant", "external")
_ROOM_BYTES = 2**22
"""So much may wait where a node's own sockets send. TCP leaves a few hundred kB of each connection in its host's queue
(3.4 MB of 16 connections, as was seen), however long that is. What the queue refuses TCP takes for not sent: BBR
sends no less for that, and a connection of which nothing is under way waits for its persist timer, 0.2 s and more."""


def give_ipv6(space: Namespace, interface: str, address: str) -> None:
    """Turns IPv6 on for an interface that is there, and gives it an address of a /64."""
    space.allow_ipv6(interface)
    space.configure(lambda routes: take_up(routes, interface, f"{address}/64"))


@dataclass(frozen=True)
class Port:
    """One node on one link: the interface in the node carries the link's name, `port` is its end in the fabric.

    The port's name holds four letters of the node's, since interface names end at 15.
    """

    link: str
    node: str
    namespace: Namespace
    port: str


def bucket(link: str, rate_bps: float) -> dict[str, int]:
    """A token bucket (tbf) for a rate on a link, as pyroute2 takes it: rate (B/s), burst and limit (B)."""
    per_second = round(rate_bps / 8)
    burst = max(2 * 65536, per_second // 1000)
    queue = max(round(per_second * _QUEUE_S), 4 * _MTU if link in _PASSING else _ROOM_BYTES)
    return {"rate": per_second, "burst": burst, "limit": burst + queue}


def set_rate(namespace: Namespace, interface: str, rate_bps: float | None) -> None:
    """Limits what leaves through an interface, which has its link's name, by a token bucket (tbf), or lifts the limit.

    What stands in its queue at the switchover is part of the pause. TCP keeps that short, as it does on a network card.
    """

    def change(routes: IPRoute) -> None:
        index = index_of(routes, interface)
        kinds = [qdisc.get("kind") for qdisc in routes.get_qdiscs(index=index)]
        if "tbf" in kinds:
            routes.tc("del", index=index, handle="1:", parent=0xFFFFFFFF)
        if rate_bps is not None:
            routes.tc("add", "tbf", index=index, handle="1:", **bucket(interface, rate_bps))

    namespace.configure(change)


def rate_of(namespace: Namespace, interface: str) -> float | None:
    """The limit that set_rate has set, in bit/s; None where there is none."""

    def look(routes: IPRoute) -> float | None:
        for qdisc in routes.get_qdiscs(index=index_of(routes, interface)):
            if qdisc.get("kind") == "tbf":
                return 8.0 * float(qdisc.get_nested("TCA_OPTIONS", "TCA_TBF_PARMS")["rate"])
        return None

    return namespace.configure(look)


class PortSwitch:
    """Cuts one bridge port in both directions and heals it. A context manager.

    The port's state goes to disabled and back to forwarding; addresses that the bridge and the neighbours learnt stay.
    Everything is prepared beforehand, so that the call itself takes no processor time from those who are measured.
    """

    def __init__(self, namespace: Namespace, interface: str) -> None:
        self._interface = interface
        self._index = namespace.configure(lambda routes: index_of(routes, interface))
        self._netlink = namespace.call(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE))

    def set(self, *, cut: bool) -> tuple[int, int]:
        """(before, after) stamps of the call in monotonic ns. OSError where the kernel refuses."""
        request = _port_state_request(self._index, _DISABLED if cut else _FORWARDING)
        before = mono_ns()
        self._netlink.send(request)
        answer = self._netlink.recv(4096)
        after = mono_ns()
        error = -struct.unpack_from("=i", answer, 16)[0]
        if error:
            raise OSError(error, f"state of bridge port {self._interface}: {os.strerror(error)}")
        return before, after

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._netlink.close()


def _port_state_request(index: int, state: int) -> bytes:
    """RTM_SETLINK of family AF_BRIDGE with IFLA_PROTINFO { IFLA_BRPORT_STATE } (linux/rtnetlink.h, linux/if_link.h).

    By hand, because pyroute2 takes `state` for the link's own and would set the interface down.
    """
    header, rtm_setlink, request_ack, protinfo_nested, brport_state = 16, 19, 0x1 | 0x4, 12 | 0x8000, 1
    attributes = struct.pack("=HHHHB3x", 12, protinfo_nested, 5, brport_state, state)
    body = struct.pack("=BxHiII", socket.AF_BRIDGE, 0, index, 0, 0) + attributes
    return struct.pack("=IHHII", header + len(body), rtm_setlink, request_ack, 1, 0) + body


def add_bridge(namespace: Namespace, name: str, address: str | None = None) -> None:
    """A bridge without spanning tree, forward delay or multicast snooping; address ("a/len"): one of its own.

    Its MAC address is its own, too. Left to the kernel it is that of a port: whoever then joins that port to another
    bridge finds that one takes the frames for itself."""
    mac = ":".join(f"{byte:02x}" for byte in (2, *secrets.token_bytes(5)))

    def change(routes: IPRoute) -> None:
        still = {"br_stp_state": 0, "br_forward_delay": 0, "br_mcast_snooping": 0}
        routes.link("add", ifname=name, kind="bridge", address=mac, **still)
        take_up(routes, name, address)

    namespace.configure(change)


def take_up(routes: IPRoute, interface: str, address: str | None) -> None:
    """Gives an interface its address, if any, and takes it up."""
    index = index_of(routes, interface)
    if address is not None:
        host, length = address.split("/")
        routes.addr("add", index=index, address=host, prefixlen=int(length))
    routes.link("set", index=index, state="up")


def add_to_bridge(namespace: Namespace, interface: str, bridge: str) -> None:
    """Makes an interface a port of a bridge and takes it up."""

    def change(routes: IPRoute) -> None:
        index = index_of(routes, interface)
        routes.link("set", index=index, master=index_of(routes, bridge))
        routes.link("set", index=index, state="up")

    namespace.configure(change)


@dataclass
class Link:
    """One link and its ports. rate_bps: what each node may send, None for no limit."""

    name: str
    fabric: Namespace
    rate_bps: float | None = None
    ports: dict[str, Port] = field(default_factory=dict)

    def create(self, address: str | None = None) -> None:
        add_bridge(self.fabric, self.name, address)

    def attach(self, node: str, namespace: Namespace, address: str | None) -> Port:
        """Joins a node to the link, with an address there ("10.0.1.11/24") or without one."""
        port = self.joined(node, namespace)
        peer = {"ifname": self.name, "net_ns_fd": namespace.name}
        self.fabric.configure(lambda routes: routes.link("add", ifname=port.port, kind="veth", peer=peer))
        add_to_bridge(self.fabric, port.port, self.name)
        namespace.configure(lambda routes: take_up(routes, self.name, address))
        return port

    def joined(self, node: str, namespace: Namespace) -> Port:
        """The port of a node that has been joined before, perhaps by another process."""
        port = Port(self.name, node, namespace, f"{node.removeprefix('host-')[:4]}-{self.name}")
        self.ports[node] = port
        return port

    def set_rate(self, rate_bps: float | None) -> None:
        """Limits what each node sends on this link, in bit/s."""
        for port in self.ports.values():
            set_rate(port.namespace, self.name, rate_bps)
        self.rate_bps = rate_bps

    def cut(self, node: str) -> tuple[int, int]:
        """Cuts one node off this link; (before, after) stamps in monotonic ns."""
        return self._switch(node, cut=True)

    def heal(self, node: str) -> tuple[int, int]:
        """Joins it again; (before, after) stamps in monotonic ns."""
        return self._switch(node, cut=False)

    def _switch(self, node: str, *, cut: bool) -> tuple[int, int]:
        with PortSwitch(self.fabric, self.ports[node].port) as switch:
            return switch.set(cut=cut)

    def is_cut(self, node: str) -> bool:
        """Whether a node is cut off this link."""

        def look(routes: IPRoute) -> bool:
            (port,) = routes.get_links(index_of(routes, self.ports[node].port))
            state = port.get_nested("IFLA_LINKINFO", "IFLA_INFO_SLAVE_DATA", "IFLA_BRPORT_STATE")
            return bool(state == _DISABLED)

        return self.fabric.configure(look)
