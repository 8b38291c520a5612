"""What a kernel's neighbour tables have for a machine, over both families: confirmed, moved, lost, removed."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pyroute2 import IPRoute

from migrascope.model.tables import TABLES
from migrascope.node.container import inner_networks
from migrascope.node.link import give_ipv6, take_up
from migrascope.node.namespace import Namespace, index_of
from migrascope.node.process import Where
from migrascope.probe.neighbour_state import NO_ROUTER, UNSEEN, Monitor
from migrascope.store import spool

pytestmark = pytest.mark.lab
ADDRESS, ADDRESS_6 = "192.0.2.7", "fd00::7"
MAC, OTHER, NOBODY = "52:54:00:00:00:07", "52:54:00:00:00:08", "02:00:00:00:00:01"
LIMIT_S = 20.0
Seen = list[tuple[str, str]]
"""State and MAC."""


@pytest.fixture
def pair() -> Iterator[tuple[Namespace, Namespace]]:
    """A router, and a guest on its link, with both families."""
    router, guest = (Namespace(f"ms-nei-{os.getpid()}-{role}") for role in ("router", "guest"))
    try:
        router.create()
        guest.create()
        peer = {"ifname": "link1", "net_ns_fd": guest.name, "address": MAC}
        router.configure(lambda routes: routes.link("add", ifname="link1", kind="veth", peer=peer))
        for space, last in ((router, 1), (guest, 7)):
            space.configure(partial(take_up, interface="link1", address=f"192.0.2.{last}/24"))
            give_ipv6(space, "link1", f"fd00::{last}")
        yield router, guest
    finally:
        router.delete()
        guest.delete()


class Recorder:
    """The probe, and what it has recorded."""

    def __init__(self, folder: Path, tables: list[dict[str, Any]]) -> None:
        self._folder = folder
        config = {
            "directory": str(folder), "source": "n", "host": "h", "instance": "", "migration": "", "tables": tables,
        }  # fmt: skip
        argv = Where(None).command([sys.executable, "-m", "migrascope.probe.neighbour_state", json.dumps(config)])
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"

    def rows(self) -> list[dict[str, Any]]:
        columns = TABLES["neighbour_state"].columns
        path = self._folder / "neighbour_state@n.jsonl"
        return [dict(zip(columns, row, strict=True)) for row in spool.Follower(path).rows()]

    def of(self, address: str) -> Seen:
        return [(row["state"], row["mac"]) for row in self.rows() if row["address"] == address]

    def until(self, address: str, state: str, mac: str) -> None:
        """Waits until that is recorded of the address."""
        deadline = time.monotonic() + LIMIT_S
        while (state, mac) not in self.of(address):
            assert time.monotonic() < deadline, f"not recorded: {address} {state} {mac}; but {self.rows()}"
            time.sleep(0.02)

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(LIMIT_S) == 0

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def speak(space: Namespace, address: str) -> None:
    """Sends a datagram, for which the kernel needs the neighbour."""

    def inside() -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"x", (address, 9))

    space.call(inside)


def change(space: Namespace, command: str, address: str, **given: Any) -> None:
    """ip neigh COMMAND ADDRESS."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET

    def inside(routes: IPRoute) -> None:
        routes.neigh(command, family=family, ifindex=index_of(routes, "link1"), dst=address, **given)

    space.configure(inside)


def announce(guest: Namespace, mac: str) -> None:
    """The guest has that MAC, and announces it: a gratuitous ARP, an unsolicited neighbour advertisement."""
    for key in ("ipv4/conf/link1/arp_notify", "ipv6/conf/link1/ndisc_notify"):
        guest.write_sysctl(f"net/{key}", "1")
    guest.configure(lambda routes: routes.link("set", index=index_of(routes, "link1"), address=mac))


def test_an_entry_is_followed_from_its_confirmation_to_its_end(
    pair: tuple[Namespace, Namespace], tmp_path: Path
) -> None:
    router, guest = pair
    change(router, "replace", ADDRESS, lladdr=NOBODY, state="stale")
    paths = {"router": [str(router.path)], "client": [str(guest.path)], "absent": []}
    tables = [
        {"place": "client" if node == "client" else "router", "node": node, "paths": path,
         "addresses": [ADDRESS, ADDRESS_6]}
        for node, path in paths.items()
    ]  # fmt: skip
    begun = time.monotonic_ns()
    recorder = Recorder(tmp_path, tables)
    try:
        recorder.until(ADDRESS, "stale", NOBODY)
        change(router, "delete", ADDRESS)
        recorder.until(ADDRESS, "gone", "")
        for address in (ADDRESS, ADDRESS_6):
            speak(router, address)
            recorder.until(address, "reachable", MAC)
        announce(guest, MAC)
        announce(guest, OTHER)
        for address in (ADDRESS, ADDRESS_6):
            recorder.until(address, "stale", OTHER)
        recorder.end()
    finally:
        recorder.close()
    rows = recorder.rows()
    removed = [("stale", NOBODY), ("failed", ""), ("gone", "")]
    assert recorder.of(ADDRESS) == [*removed, ("reachable", MAC), ("stale", OTHER)]
    assert recorder.of(ADDRESS_6) == [("reachable", MAC), ("stale", OTHER)], "what was right stays as it is"
    stamps = [row["read_ns"] for row in rows]
    assert stamps == sorted(stamps)
    assert begun <= stamps[0]
    assert stamps[-1] <= time.monotonic_ns()
    unseen = [row for row in rows if row["state"] == UNSEEN]
    assert [(row["node"], row["place"], row["why"]) for row in unseen] == [("absent", "router", NO_ROUTER)]
    seen = [row for row in rows if row["state"] != UNSEEN]
    assert {(row["node"], row["place"], row["why"]) for row in seen} == {("router", "router", "")}, "the guest has none"


def test_a_router_is_found_in_a_namespace_that_a_node_has_made_in_itself(pair: tuple[Namespace, Namespace]) -> None:
    node, _ = pair
    script = "mount -t tmpfs none /run && ip netns add qrouter-1 && ip netns add qdhcp-1 && echo made && exec sleep 600"
    inside = ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--", "sh", "-c", script]
    process = subprocess.Popen(Where(node).command(inside), stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"made\n"
        (router,) = inner_networks(node, "qrouter-*")
        assert router.name == "qrouter-1"
        assert router.stat().st_ino not in (node.inode(), Path("/proc/self/ns/net").stat().st_ino)
        monitor = Monitor(str(router), [ADDRESS])
        monitor.ask()
        assert list(monitor.told()) == []
        monitor.close()
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    assert inner_networks(Namespace("ms-nei-none"), "qrouter-*") == []


def test_a_namespace_that_is_not_there_is_told(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, [{"place": "router", "node": "n", "paths": ["/run/netns/none"], "addresses": []}])
    try:
        recorder.end()
    finally:
        recorder.close()
    (row,) = recorder.rows()
    assert row["state"] == UNSEEN
    assert "No such file" in row["why"]
