"""What the link says of machines on it: table neighbour.

Config: targets, each {source, instance, address (IPv4 or IPv6)}; part_s: seconds after which a spool goes on in another
file, None: never. The MAC of each by this machine's neighbour table, and with CAP_NET_RAW the frames by which somebody
announces the address: RARP (RFC 903, as QEMU sends it for a guest that has come), gratuitous ARP (RFC 5227),
unsolicited neighbour advertisements (RFC 4861). Nothing is sent. A target that is not on a link of this machine has
one row that says so.
"""

import contextlib
import errno
import ipaddress
import socket
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from migrascope.node.program import Program
from migrascope.node.route import link_of
from migrascope.probe.bpf import EQUAL, LOAD_HALF, assembled, attach, icmp6
from migrascope.probe.stamped import Arrival, arrivals, stamp
from migrascope.store.spool import Spool

_LOOK_S = 0.25
"""Frames are read so often, and the neighbour table, where that has changed."""
_MOST = 200
_NEIGHBOURS_CHANGE = 4  # RTMGRP_NEIGH (linux/rtnetlink.h)
_MOST_CHANGE = 4096
_SNAPLEN = 128
_ETH_P_ALL, _SOL_PACKET, _PACKET_IGNORE_OUTGOING = 3, 263, 23
_ARP, _RARP, _IPV6 = 0x0806, 0x8035, 0x86DD
_ICMP6, _ADVERTISEMENT, _SOLICITED, _TARGET_ADDRESS = 58, 136, 0x40, 2
_HEADER, _HEADER_6 = 14, 40
_KNOWN = 0x02 | 0x04 | 0x08 | 0x10 | 0x80  # NUD_REACHABLE, STALE, DELAY, PROBE, PERMANENT (linux/neighbour.h)
ELSEWHERE = "it is not on this link, where its MAC would show"


class Announced(NamedTuple):
    """Who says that an address is at a MAC: rarp, garp or na. address: empty where it is not said (RARP)."""

    how: str
    address: str
    mac: str


def announcement_of(frame: bytes) -> Announced | None:
    """The announcement in an Ethernet frame; None where it is none."""
    kind, body = int.from_bytes(frame[12:14], "big"), frame[_HEADER:]
    if kind == _RARP and len(body) >= 28:
        return Announced("rarp", "", _mac(body[8:14]))
    if kind == _ARP and len(body) >= 28 and body[14:18] == body[24:28]:
        return Announced("garp", str(ipaddress.IPv4Address(body[14:18])), _mac(body[8:14]))
    if kind == _IPV6 and len(body) >= _HEADER_6 + 24 and body[6] == _ICMP6:
        message = body[_HEADER_6:]
        if message[0] == _ADVERTISEMENT and not message[4] & _SOLICITED:
            option = message[24:32]
            mac = option[2:8] if len(option) == 8 and option[0] == _TARGET_ADDRESS else frame[6:12]
            return Announced("na", str(ipaddress.IPv6Address(message[8:24])), _mac(mac))
    return None


def announcement_filter() -> bytes:
    """Classic BPF: ARP, RARP and neighbour advertisements."""
    program = (
        (LOAD_HALF, 0, 0, 12),
        (EQUAL, 6, 0, _ARP),
        (EQUAL, 5, 0, _RARP),
        (EQUAL, 0, 5, _IPV6),
        *icmp6(_ADVERTISEMENT, _SNAPLEN),
    )
    return assembled(program)


def _mac(number: bytes) -> str:
    return number.hex(":")


class Listener:
    """Announcements on one interface. PermissionError without the right to a packet socket."""

    def __init__(self, interface: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        attach(self._socket, announcement_filter())
        stamp(self._socket)
        self._socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        self._socket.setblocking(False)
        try:
            self._socket.bind((interface, _ETH_P_ALL))
        except OSError:
            self._socket.close()
            raise

    def heard(self) -> list[tuple[Announced, Arrival]]:
        """What has come."""
        came = [(announcement_of(arrival.data), arrival) for arrival in arrivals(self._socket, _MOST, _SNAPLEN)]
        return [(announced, arrival) for announced, arrival in came if announced is not None]

    def close(self) -> None:
        self._socket.close()


class Changes:
    """Whether this machine's neighbour table has changed: the kernel tells it, and reading the table costs a hundred
    times as much as asking here."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.setblocking(False)
        self._socket.bind((0, _NEIGHBOURS_CHANGE))

    def any(self) -> bool:
        """Whether it has since the last call."""
        found = False
        while True:
            try:
                self._socket.recv(_MOST_CHANGE)
            except BlockingIOError:
                return found
            except OSError as error:  # too many at once for its buffer
                if error.errno != errno.ENOBUFS:
                    raise
            found = True

    def close(self) -> None:
        self._socket.close()


@dataclass
class _Machine:
    """A target on the link. index: of the interface; macs: those that its address had."""

    address: str
    index: int
    spool: Spool
    macs: list[str] = field(default_factory=list)

    def has(self, mac: str) -> None:
        """Records the MAC that the neighbour table has, where that is another one."""
        if not self.macs or self.macs[-1] != mac:
            self.macs.append(mac)
            self.spool.add("table", mac, "", time.time_ns(), time.monotonic_ns())

    def hear(self, announced: Announced, arrival: Arrival) -> None:
        """Records an announcement, where it is of this machine."""
        if announced.address == self.address or (not announced.address and announced.mac in self.macs):
            self.spool.add(announced.how, announced.mac, "", arrival.wall_ns, arrival.read_ns)


def neighbours(routes: IPRoute) -> dict[tuple[int, str], str]:
    """The MACs that this machine knows, by interface and address."""
    return {
        (entry["ifindex"], str(entry.get_attr("NDA_DST"))): str(entry.get_attr("NDA_LLADDR"))
        for entry in routes.get_neighbours()
        if entry["state"] & _KNOWN and entry.get_attr("NDA_LLADDR")
    }


def main(program: Program) -> None:
    """Looks until the program ends."""
    config = program.config
    try:
        with ExitStack() as stack:
            spools = [
                stack.enter_context(
                    Spool(
                        Path(config["directory"]), "neighbour", source=target["source"], host=config["host"],
                        instance=target["instance"], migration=config["migration"], part_s=config["part_s"],
                    )
                )
                for target in config["targets"]
            ]  # fmt: skip
            addresses = [target["address"] for target in config["targets"]]
            try:
                routes, changes = stack.enter_context(IPRoute()), Changes()
                stack.callback(changes.close)
                machines, listeners = _begun(stack, routes, addresses, spools)
                _look(routes, machines)
            except (NetlinkError, OSError) as error:
                machines, listeners = [], {}
                for spool in spools:
                    spool.add("unseen", "", f"the kernel does not tell its neighbours: {error}", *_now())
            program.ready()
            for _ in program.ticks(_LOOK_S):
                if machines and changes.any():
                    _look(routes, machines)
                for index, listener in listeners.items():
                    for announced, arrival in listener.heard():
                        for machine in machines:
                            if machine.index == index:
                                machine.hear(announced, arrival)
                for spool in spools:
                    spool.tick()
    except OSError as error:
        sys.exit(f"cannot record in {config['directory']}: {error.strerror}")


def _begun(
    stack: ExitStack, routes: IPRoute, addresses: list[str], spools: list[Spool]
) -> tuple[list[_Machine], dict[int, Listener]]:
    """The machines that are on a link, and what listens on these links, by interface."""
    machines: list[_Machine] = []
    listeners: dict[int, Listener] = {}
    for address, spool in zip(addresses, spools, strict=True):
        try:
            link = link_of(routes, address)
        except NetlinkError:  # no route
            link = None
        if link is None:
            spool.add("unseen", "", ELSEWHERE, *_now())
            continue
        index, name = link
        machines.append(_Machine(address.partition("%")[0], index, spool))
        if index not in listeners:
            with contextlib.suppress(PermissionError):  # the neighbour table alone shows it
                listeners[index] = Listener(name)
                stack.callback(listeners[index].close)
    return machines, listeners


def _look(routes: IPRoute, machines: list[_Machine]) -> None:
    known = dict[tuple[int, str], str]()
    with contextlib.suppress(NetlinkError):  # the table changed while it was read
        known = neighbours(routes)
    for machine in machines:
        if mac := known.get((machine.index, machine.address)):
            machine.has(mac)


def _now() -> tuple[int, int]:
    return time.time_ns(), time.monotonic_ns()


if __name__ == "__main__":
    main(Program.from_argv())
