"""Loss and delay on a link do what they say, and leave it as it was."""

import os
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from migrascope.lab.injectors.delay import LinkDelay
from migrascope.lab.injectors.lab_links import LabLinks
from migrascope.lab.injectors.links import LinkRate, OneWay
from migrascope.lab.injectors.losses import AnnouncementLoss, LinkLoss
from migrascope.lab.injectors.neighbours import NOBODY, StaleNeighbour
from migrascope.node.link import Link, give_ipv6, rate_of
from migrascope.node.namespace import Namespace, index_of

pytestmark = pytest.mark.lab
ASKED = 3000
CONNECTIONS = 4
NEAR, FAR, ROUTER = "10.0.3.11", "10.0.3.12", "10.0.3.1"


@pytest.fixture
def lab_links() -> Iterator[LabLinks]:
    """A migration link between two hosts, of a lab that has nothing else."""
    own = f"impair-{os.getpid()}"
    spaces = {name: Namespace(f"{own}-{name}") for name in ("fabric", "host-a", "host-b")}
    try:
        for space in spaces.values():
            space.create()
        link = Link("migration", spaces["fabric"])
        link.create(f"{ROUTER}/24")
        link.attach("host-a", spaces["host-a"], f"{NEAR}/24")
        link.attach("host-b", spaces["host-b"], f"{FAR}/24")
        yield LabLinks(spaces["fabric"], {"migration": link}, spaces)
    finally:
        for space in spaces.values():
            space.delete()


class Echo:
    """What host-a sends to host-b by UDP, and host-b answers."""

    def __init__(self, lab_links: LabLinks) -> None:
        self._near, self._far = (self._socket(lab_links.nodes[node]) for node in ("host-a", "host-b"))
        self._far.bind((FAR, 7))
        self._near.connect((FAR, 7))
        self.heard = 0
        threading.Thread(target=self._answer, daemon=True).start()

    @staticmethod
    def _socket(space: Namespace) -> socket.socket:
        made: socket.socket = space.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**22)
        return made

    def _answer(self) -> None:
        while True:
            message, sender = self._far.recvfrom(100)
            self.heard += 1
            self._far.sendto(message, sender)

    def burst(self) -> float:
        """The share that is answered of many, sent at once."""
        for number in range(ASKED):
            self._near.send(str(number).encode())
        answered = 0
        while self._answered():
            answered += 1
        return answered / ASKED

    def trips(self) -> list[float]:
        """Round trips (s), one after another; all must come."""
        found = []
        for number in range(20):
            sent = time.monotonic()
            self._near.send(str(number).encode())
            assert self._answered()
            found.append(time.monotonic() - sent)
        return found

    def _answered(self) -> bool:
        self._near.settimeout(0.5)
        try:
            self._near.recv(100)
        except TimeoutError:
            return False
        return True


@pytest.mark.parametrize(("from_node", "to_node"), [(True, True), (True, False), (False, True)])
async def test_a_share_of_the_frames_is_lost(lab_links: LabLinks, from_node: bool, to_node: bool) -> None:
    echo = Echo(lab_links)
    assert echo.burst() == 1
    loss = LinkLoss(lab_links, "migration", ["host-a"], 0.2, from_node=from_node, to_node=to_node)
    await loss.arm()
    assert echo.burst() == 1, "it only waits"
    await loss.apply()
    before = echo.heard
    answered = echo.burst()
    heard = (echo.heard - before) / ASKED
    assert heard == pytest.approx(0.8 if from_node else 1.0, abs=0.04)
    assert answered / heard == pytest.approx(0.8 if to_node else 1.0, abs=0.04)
    await loss.heal()
    await loss.heal()
    assert echo.burst() == 1


def sizes_and_seconds(lab_links: LabLinks, megabytes: int) -> tuple[int, float]:
    """The largest frame that host-b sees of a TCP connection from host-a, and how long the data take."""
    listener = lab_links.nodes["host-b"].call(lambda: socket.create_server((FAR, 0)))
    seen = lab_links.nodes["host-b"].call(
        lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
    )
    seen.bind(("migration", 0x0800))
    seen.setblocking(False)
    sender = lab_links.nodes["host-a"].call(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    sender.connect(listener.getsockname())
    receiver, _ = listener.accept()
    began, left, largest = time.monotonic(), megabytes * 2**20, 0
    threading.Thread(target=lambda: sender.sendall(bytes(left)), daemon=True).start()
    while left:
        left -= len(receiver.recv(2**16))
        try:
            largest = max(largest, len(seen.recv(2**17)))
        except BlockingIOError:
            continue
    took = time.monotonic() - began
    for sock in (listener, seen, sender, receiver):
        sock.close()
    return largest, took


async def test_what_is_lost_is_single_frames(lab_links: LabLinks) -> None:
    assert sizes_and_seconds(lab_links, 8)[0] > 2000
    loss = LinkLoss(lab_links, "migration", ["host-a"], 0.001, from_node=True, to_node=True)
    await loss.arm()
    await loss.apply()
    assert sizes_and_seconds(lab_links, 8)[0] <= 1514
    await loss.heal()
    assert sizes_and_seconds(lab_links, 8)[0] > 2000


BROADCAST, MAC = bytes([255] * 6), bytes.fromhex("5254006d7301")
OWN, OTHER = socket.inet_aton("10.0.4.100"), socket.inet_aton("10.0.4.1")
ARP = bytes.fromhex("0001080006040001") + MAC
HEADER_6 = bytes.fromhex("6000000000203aff") + bytes(16)
ALL_NODES, ALL_ROUTERS = (socket.inet_pton(socket.AF_INET6, text) for text in ("ff02::1", "ff02::2"))
ANNOUNCING = {
    "RARP": b"\x80\x35" + bytes.fromhex("0001080006040003") + MAC + bytes(14),
    "gratuitous ARP": b"\x08\x06" + ARP + OWN + bytes(6) + OWN,
    "unsolicited neighbour advertisement": b"\x86\xdd" + HEADER_6 + ALL_NODES + b"\x88" + bytes(31),
}
PLAIN = {
    "ARP for another": b"\x08\x06" + ARP + OWN + bytes(6) + OTHER,
    "ARP of another": b"\x08\x06" + ARP + OTHER + bytes(6) + OTHER,
    "router solicitation": b"\x86\xdd" + HEADER_6 + ALL_ROUTERS + b"\x85" + bytes(31),
}


async def test_announcements_are_lost_and_nothing_else(lab_links: LabLinks) -> None:
    every = socket.htons(3)  # ETH_P_ALL
    near, far = (
        lab_links.nodes[node].call(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, every))
        for node in ("host-a", "host-b")
    )
    near.bind(("migration", 0))
    far.bind(("migration", 0))
    far.settimeout(10)

    def passed() -> set[str]:
        """Names of the frames that host-b gets, up to one that is sent after all of them."""
        named = {BROADCAST + MAC + frame.ljust(60, b"\0"): name for name, frame in (ANNOUNCING | PLAIN).items()}
        last = BROADCAST + MAC + b"\x88\xb5" + bytes(46)  # an experimental EtherType
        for frame in (*named, last):
            near.send(frame)
        found = set()
        while (frame := far.recv(2000)) != last:
            found |= {named[frame]} if frame in named else set()
        return found

    assert passed() == {*ANNOUNCING, *PLAIN}
    loss = AnnouncementLoss(lab_links, "migration", ["host-a"], socket.inet_ntoa(OWN))
    await loss.arm()
    try:
        assert passed() == {*ANNOUNCING, *PLAIN}, "it only waits"
        await loss.apply()
        assert passed() == set(PLAIN)
    finally:
        await loss.heal()
        await loss.heal()
    assert passed() == {*ANNOUNCING, *PLAIN}
    for sock in (near, far):
        sock.close()


@pytest.mark.parametrize(("out_s", "back_s"), [(0.05, 0.05), (0.05, 0.0), (0.0, 0.05)])
async def test_every_frame_comes_later(lab_links: LabLinks, tmp_path: Path, out_s: float, back_s: float) -> None:
    echo = Echo(lab_links)
    quiet = statistics.median(echo.trips())
    delay = LinkDelay(lab_links, "migration", ["host-a"], out_s, back_s, tmp_path / "log")
    await delay.arm()
    try:
        assert statistics.median(echo.trips()) < quiet + 0.02, "it only waits"
        await delay.apply()
        trips = echo.trips()
        assert min(trips) >= out_s + back_s
        assert statistics.median(trips) < quiet + out_s + back_s + 0.02
    finally:
        await delay.heal()
        await delay.heal()
    assert statistics.median(echo.trips()) < quiet + 0.02
    names = lab_links.fabric.call(socket.if_nameindex)
    assert {name for _, name in names} == {"lo", "migration", "a-migration", "b-migration"}


@pytest.mark.parametrize("node", ["host-a", "host-b"])
async def test_who_is_delayed_still_reaches_the_router_on_the_link(
    lab_links: LabLinks, tmp_path: Path, node: str
) -> None:
    """Visitors reach the instance through the address of their link's bridge."""
    router: socket.socket = lab_links.fabric.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    client: socket.socket = lab_links.nodes[node].call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    delay = LinkDelay(lab_links, "migration", [node], 0.02, 0.02, tmp_path / "log")
    with router, client:
        router.bind((ROUTER, 7))
        router.settimeout(10)
        client.connect((ROUTER, 7))
        await delay.arm()
        try:
            await delay.apply()
            sent = time.monotonic()
            client.send(b"1")
            assert router.recv(10) == b"1"
            assert time.monotonic() - sent >= 0.02
        finally:
            await delay.heal()


async def test_a_delayed_link_carries_a_migration(lab_links: LabLinks, tmp_path: Path) -> None:
    """TCP's data stay together on their way, so that one process of Python is no bottleneck."""
    delay = LinkDelay(lab_links, "migration", ["host-a"], 0.005, 0.005, tmp_path / "log")
    await delay.arm()
    await delay.apply()
    largest, took = sizes_and_seconds(lab_links, 64)
    await delay.heal()
    assert largest > 2000
    assert 64 * 8 * 1.048576 / took > 100, "Mbit/s"


@pytest.mark.parametrize("before", [None, 1e9])
async def test_a_rate_is_changed_and_comes_back(lab_links: LabLinks, before: float | None) -> None:
    link = lab_links.links["migration"]
    link.set_rate(before)
    for injector, near, far in (
        (LinkRate(lab_links, "migration", 5e6), 5e6, 5e6),
        (OneWay(lab_links, "migration", "host-a"), 8e3, before),
    ):
        await injector.arm()
        await injector.apply()
        rates = [rate_of(lab_links.nodes[node], "migration") for node in ("host-a", "host-b")]
        assert rates == [near, far]
        await injector.heal()
        await injector.heal()
        assert [rate_of(lab_links.nodes[node], "migration") for node in ("host-a", "host-b")] == [before, before]


@pytest.mark.parametrize("rate_bps", [250e6, 500e6])
def test_a_limit_refuses_nothing_of_connections_that_send_side_by_side(lab_links: LabLinks, rate_bps: float) -> None:
    """As multifd's do. What is refused may stand still for 0.2 s and more, and the migration with it."""
    lab_links.links["migration"].set_rate(rate_bps)
    near, far = lab_links.nodes["host-a"], lab_links.nodes["host-b"]
    listening = far.call(lambda: socket.create_server((FAR, 4444)))
    with ThreadPoolExecutor(2 * CONNECTIONS) as threads, listening:
        for _ in range(CONNECTIONS):
            sender = near.call(lambda: socket.create_connection((FAR, 4444)))
            threads.submit(_send, sender, 2**22)
            threads.submit(_swallow, listening.accept()[0])
    assert _refused(near) == 0


def _send(sender: socket.socket, count: int) -> None:
    with sender:
        sender.sendall(bytes(count))


def _swallow(taken: socket.socket) -> None:
    with taken:
        while taken.recv(2**18):
            pass


def _refused(space: Namespace) -> int:
    """Packets that the migration link's limit refused."""

    def look(routes: IPRoute) -> int:
        (qdisc,) = routes.get_qdiscs(index=index_of(routes, "migration"))
        assert qdisc.get("kind") == "tbf"
        return int(qdisc.get_nested("TCA_STATS2", "TCA_STATS_QUEUE")["drops"])

    return space.configure(look)


@pytest.mark.parametrize(("router", "near"), [(ROUTER, NEAR), ("fd00::1", "fd00::11")])
async def test_a_router_sends_to_nobody_until_it_is_healed(lab_links: LabLinks, router: str, near: str) -> None:
    fabric, host = lab_links.fabric, lab_links.nodes["host-a"]
    if ":" in near:
        for space, address in ((fabric, router), (host, near)):
            give_ipv6(space, "migration", address)
    family = socket.AF_INET6 if ":" in near else socket.AF_INET
    heard: socket.socket = host.call(lambda: socket.socket(family, socket.SOCK_DGRAM))
    said: socket.socket = fabric.call(lambda: socket.socket(family, socket.SOCK_DGRAM))
    with heard, said:
        heard.bind((near, 7))
        heard.settimeout(10)
        said.sendto(b"first", (near, 7))
        assert heard.recv(10) == b"first"
        stale = StaleNeighbour(lab_links, "migration", [near])
        await stale.arm()
        assert await stale.apply() == f"{near} at {NOBODY}"
        said.sendto(b"lost", (near, 7))
        await stale.heal()
        said.sendto(b"found", (near, 7))
        assert heard.recv(10) == b"found"
