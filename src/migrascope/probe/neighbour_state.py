"""What the neighbour tables of router and client have for an instance: table neighbour_state.

Config: tables, each {place (router or client), node, paths (network namespaces of which each has one; "": this
process's own), addresses (of the instance there)}. What the kernel has at the beginning is recorded, and then each
change that it tells (rtnetlink(7), RTNLGRP_NEIGH): nothing is asked meanwhile, and nothing is sent. A table that cannot
be looked into has one row that says why.
"""

import errno
import os
import select
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from ipaddress import ip_address
from typing import NamedTuple

from migrascope.node.program import Program
from migrascope.node.sandbox import set_namespace
from migrascope.store.spool import Spool

UNSEEN = "unseen"
NO_ROUTER = "no node in reach has a router in a namespace of its own: OVN's is made of flows"
_WAIT_MS = 100
_MOST = 1 << 16
"""The kernel gives the table in pieces of 32 KiB at most."""
_ROOM = 1 << 20
_SO_RCVBUFFORCE = 33
_GROUP = 4  # RTMGRP_NEIGH (linux/rtnetlink.h)
_NEW, _GONE, _GET = 28, 29, 30  # RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH
_DUMP = 0x1 | 0x300  # NLM_F_REQUEST, NLM_F_DUMP
_HEADER, _ENTRY, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=B3xiHBB"), struct.Struct("=HH")
"""struct nlmsghdr, struct ndmsg, struct rtattr."""
_ADDRESS, _MAC = 1, 2  # NDA_DST, NDA_LLADDR (linux/neighbour.h)
_PROXY = 0x08  # NTF_PROXY: an address for which this machine answers
_STATES = {
    0x01: "incomplete", 0x02: "reachable", 0x04: "stale", 0x08: "delay", 0x10: "probe", 0x20: "failed", 0x40: "noarp",
    0x80: "permanent",
}  # fmt: skip
"""NUD_* (linux/neighbour.h; RFC 4861, 7.3.2)."""


class Entry(NamedTuple):
    """An address in a neighbour table: the state of its entry in words (gone: it was removed), and the MAC, empty where
    it has none that holds."""

    address: str
    state: str
    mac: str


def entries(data: bytes) -> Iterator[Entry]:
    """The IPv4 and IPv6 neighbours in what a netlink socket gave; what is cut off or about something else is left
    out."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, _, _, _ = _HEADER.unpack_from(data, at)
        if length < _HEADER.size:
            return
        if kind in (_NEW, _GONE):
            found = _entry(data[at + _HEADER.size : at + length], gone=kind == _GONE)
            if found is not None:
                yield found
        at += _aligned(length)


def _entry(body: bytes, *, gone: bool) -> Entry | None:
    if len(body) < _ENTRY.size:
        return None
    family, _, state, flags, _ = _ENTRY.unpack_from(body)
    if family not in (socket.AF_INET, socket.AF_INET6) or flags & _PROXY:
        return None
    found = dict(_attributes(body[_ENTRY.size :]))
    if len(found.get(_ADDRESS, b"")) != (4 if family == socket.AF_INET else 16):
        return None
    address = socket.inet_ntop(family, found[_ADDRESS])
    return Entry(address, "gone" if gone else _STATES.get(state, "none"), "" if gone else found.get(_MAC, b"").hex(":"))


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            return
        yield kind, data[at + _ATTRIBUTE.size : at + length]
        at += _aligned(length)


def _aligned(length: int) -> int:
    return (length + 3) & ~3


class Monitor:
    """One neighbour table: what it has for some addresses. path: of a network namespace; "": this one. OSError where
    there is no such namespace."""

    def __init__(self, path: str, addresses: Iterable[str]) -> None:
        self._addresses = {str(ip_address(address)) for address in addresses}
        self._last: dict[str, Entry] = {}
        with ThreadPoolExecutor(1) as inside:
            self._socket = inside.submit(_opened, path).result()

    def fileno(self) -> int:
        return self._socket.fileno()

    def ask(self) -> None:
        """Has the kernel tell all entries, whose answer `told` gives with what has changed meanwhile."""
        size = _HEADER.size + _ENTRY.size
        self._socket.send(_HEADER.pack(size, _GET, _DUMP, 1, 0) + _ENTRY.pack(socket.AF_UNSPEC, 0, 0, 0, 0))

    def told(self) -> Iterator[tuple[int, Entry]]:
        """What is another than before, each with the stamp of reading it (mono ns)."""
        while True:
            try:
                data = self._socket.recv(_MOST)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self.ask()  # more at once than its buffer held: what is missing shows in the entries
                continue
            now = time.monotonic_ns()
            for entry in entries(data):
                if entry.address in self._addresses and self._last.get(entry.address) != entry:
                    self._last[entry.address] = entry
                    yield now, entry

    def close(self) -> None:
        self._socket.close()


def _opened(path: str) -> socket.socket:
    """A socket to which the kernel tells changes of neighbours, by a thread that ends in that namespace."""
    if path:
        set_namespace(path)
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    try:
        opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE if os.geteuid() == 0 else socket.SO_RCVBUF, _ROOM)
        opened.setblocking(False)
        opened.bind((0, _GROUP))
    except OSError:
        opened.close()
        raise
    return opened


def main(program: Program) -> None:
    """Records until the program ends."""
    with ExitStack() as stack, program.spool("neighbour_state") as spool:
        by_number: dict[int, tuple[Monitor, tuple[str, str]]] = {}
        watched = select.poll()
        for table in program.config["tables"]:
            whose = (table["node"], table["place"])
            reason = "" if table["paths"] else NO_ROUTER
            for path in table["paths"]:
                try:
                    monitor = Monitor(path, table["addresses"])
                except OSError as error:
                    reason = str(error)
                    continue
                stack.callback(monitor.close)
                by_number[monitor.fileno()] = monitor, whose
                watched.register(monitor.fileno(), select.POLLIN)
                monitor.ask()
                _record(spool, monitor, whose)
            if reason:
                spool.add(time.monotonic_ns(), *whose, "", UNSEEN, "", reason)
        program.ready()
        while not program.ending:
            for number, _ in watched.poll(_WAIT_MS):
                _record(spool, *by_number[number])
            program.tick()


def _record(spool: Spool, monitor: Monitor, whose: tuple[str, str]) -> None:
    for read_ns, entry in monitor.told():
        spool.add(read_ns, *whose, *entry, "")


if __name__ == "__main__":
    main(Program.from_argv())
