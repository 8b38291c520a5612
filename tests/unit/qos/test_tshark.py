"""Generated captures of every kind, read by tshark and by us: the same packets, flows, segments and handshakes.

Which of two words tshark has for a segment that came again (retransmission or out of order) is left open: their sum
counts.
"""

import random
import re
import subprocess
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from captures import (
    classic,
    enhanced,
    ethernet,
    geneve,
    gre,
    icmp,
    interface,
    ip,
    mpls,
    nflog,
    pppoe,
    rtp,
    section,
    snap,
    tcp,
    udp,
    vxlan,
)
from migrascope.qos.examine import examine
from migrascope.qos.result import FlowQos, Qos
from needs import tshark_program

BASE = 1_700_000_000 * 10**9
MS = 1_000_000
CLIENT, SERVER = "10.0.0.1", "10.0.0.2"
SYN, ACK, FIN = 2, 16, 1
_AGAIN = ("retransmission", "fast_retransmission", "spurious_retransmission", "out_of_order")


class Talk:
    """One TCP connection whose server sends; segments are lost before or behind the capture by chance, and sent again
    after their timeout."""

    def __init__(self, chance: random.Random, port: int, *, worse: float, stamps: bool, six: bool) -> None:
        self._chance, self._port, self._stamps = chance, port, stamps
        self._ends = ("2001:db8::1", "2001:db8::2") if six else (CLIENT, SERVER)
        self._isn = (chance.randrange(2**32), chance.choice([chance.randrange(2**32), 2**32 - 5000]))
        self._ident = chance.randrange(60000)
        self.packets: list[tuple[float, bytes]] = []
        begin = chance.uniform(0, 300)
        self._put(begin, 0, 0, 0, SYN)
        self._put(begin + 9, 1, 0, 1, SYN | ACK)
        self._put(begin + 10, 0, 1, 1, ACK)
        self._send(begin + 20, chance.randrange(5, 60), worse)

    def _put(self, at_ms: float, side: int, seq: int, ack: int, flags: int, length: int = 0) -> None:
        ports = (80, self._port) if side else (self._port, 80)
        ends = self._ends[::-1] if side else self._ends
        stamps = (round(at_ms) + 1000, max(0, round(at_ms) + 990)) if self._stamps else None
        numbers = (seq + self._isn[side]) % 2**32, (ack + self._isn[1 - side]) % 2**32 if flags & ACK else 0
        self._ident = (self._ident + 1) % 65536
        segment = tcp(ports, *numbers, flags, bytes(length), stamps=stamps)
        self.packets.append((at_ms, ip(ends[0], ends[1], 6, segment, ident=self._ident or 1)))

    def _send(self, at_ms: float, count: int, worse: float) -> None:
        """count segments of 1000 bytes, 2 ms apart; the client acknowledges each 5 ms later."""
        chance, got = self._chance, set[int]()
        came: list[tuple[float, int]] = []
        for number in range(count):
            sent = at_ms + 2 * number
            fate = chance.random()
            if fate < worse:  # lost before the capture
                came.append((sent + 250, number))
                self._put(sent + 250, 1, 1 + 1000 * number, 1, ACK, 1000)
            elif fate < 2 * worse:  # captured, lost behind it
                self._put(sent, 1, 1 + 1000 * number, 1, ACK, 1000)
                came.append((sent + 260, number))
                self._put(sent + 260, 1, 1 + 1000 * number, 1, ACK, 1000)
            else:
                came.append((sent, number))
                self._put(sent, 1, 1 + 1000 * number, 1, ACK, 1000)
        for time, number in sorted(came):
            got.add(number)
            upto = next(at for at in range(count + 1) if at not in got)
            self._put(time + 5, 0, 1, 1 + 1000 * upto, ACK)


def echoes(chance: random.Random, ident: int) -> list[tuple[float, bytes]]:
    made = []
    for seq in range(40):
        made.append((50.0 * seq, ip(CLIENT, SERVER, 1, icmp(8, ident, seq % 16))))
        if chance.random() < 0.8 or seq == 39:
            made.append((50.0 * seq + chance.uniform(1, 30), ip(SERVER, CLIENT, 1, icmp(0, ident, seq % 16))))
    return made


def kind_of(packet: bytes) -> int:
    return 0x86DD if packet[0] >> 4 == 6 else 0x0800


def framed(packet: bytes) -> bytes:
    return ethernet(packet, kind_of(packet))


def tunnelled(port: int, content: bytes) -> bytes:
    """What a tunnel over UDP carries."""
    return ethernet(ip("203.0.113.1", "203.0.113.2", 17, udp((50000, port), content)))


ERSPAN = b"\x10\0\x88\xbe\0\0\0\1" + b"\x10\7" + bytes(6)
"""GRE with a number, and the header of ERSPAN's second type."""
ERSPAN3 = b"\x10\0\x22\xeb\0\0\0\1" + b"\x20\7" + bytes(9) + b"\1" + bytes(8)
"""The same of its third type, with a subheader of the platform."""
WRAPS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "Ethernet": (1, lambda packet: ethernet(packet, kind_of(packet))),
    "VLAN": (1, lambda packet: ethernet(packet, kind_of(packet), tags=[0x88A8, 0x8100])),
    "VXLAN": (1, lambda packet: vxlan(5, ethernet(packet, kind_of(packet)))),
    "Geneve": (1, lambda packet: geneve(5, ethernet(packet, kind_of(packet)))),
    "GRE": (1, lambda packet: gre(packet, kind_of(packet))),
    "MPLS": (1, lambda packet: mpls(packet)),
    "PPPoE": (1, lambda packet: pppoe(packet, 0x57 if packet[0] >> 4 == 6 else 0x21)),
    "SNAP": (1, lambda packet: snap(packet, kind_of(packet))),
    "SLL": (113, lambda packet: bytes(14) + kind_of(packet).to_bytes(2, "big") + packet),
    "SLL2": (276, lambda packet: kind_of(packet).to_bytes(2, "big") + bytes(18) + packet),
    "NFLOG": (239, nflog),
    "PPP": (9, lambda packet: (b"\0\x57" if packet[0] >> 4 == 6 else b"\0\x21") + packet),
    "raw": (101, lambda packet: packet),
    "VXLAN in a VLAN": (1, lambda packet: ethernet(vxlan(5, framed(packet))[14:], tags=[0x8100])),
    "VXLAN in IPv6": (1, lambda packet: ethernet(ip("::1", "::2", 17, vxlan(5, framed(packet))[34:]), 0x86DD)),
    "Geneve in IPv6": (1, lambda packet: ethernet(ip("::1", "::2", 17, geneve(5, framed(packet))[34:]), 0x86DD)),
    "VXLAN, a VLAN inside": (1, lambda packet: vxlan(5, ethernet(packet, kind_of(packet), tags=[0x8100]))),
    "GRE, Ethernet, a key": (1, lambda packet: gre(framed(packet), 0x6558, key=7)),
    "IP in IP": (1, lambda packet: ethernet(ip("::1", "::2", 41 if packet[0] >> 4 == 6 else 4, packet), 0x86DD)),
    "MPLS in GRE": (1, lambda packet: gre(mpls(packet)[14:], 0x8847)),
    "PPPoE in a VLAN": (
        1,
        lambda packet: ethernet(pppoe(packet, 0x57 if packet[0] >> 4 == 6 else 0x21)[14:], 0x8864, tags=[0x8100]),
    ),
    "SLL, a VLAN": (113, lambda packet: bytes(14) + b"\x81\0\0\7" + kind_of(packet).to_bytes(2, "big") + packet),
    "PPP as HDLC": (50, lambda packet: b"\xff\3" + (b"\0\x57" if packet[0] >> 4 == 6 else b"\0\x21") + packet),
    "Cisco HDLC": (104, lambda packet: b"\x0f\0" + kind_of(packet).to_bytes(2, "big") + packet),
    "BSD loopback": (0, lambda packet: (b"\x1e" if packet[0] >> 4 == 6 else b"\2") + bytes(3) + packet),
    "ERSPAN": (1, lambda packet: ethernet(ip("203.0.113.1", "203.0.113.2", 47, ERSPAN + framed(packet)))),
    "ERSPAN's third type": (
        1,
        lambda packet: ethernet(ip("203.0.113.1", "203.0.113.2", 47, ERSPAN3 + framed(packet))),
    ),
    "VXLAN, a group policy": (1, lambda packet: tunnelled(4789, b"\x88\0\0\7\0\0\5\0" + framed(packet))),
    "VXLAN-GPE": (1, lambda packet: tunnelled(4790, b"\x0c\0\0\3\0\0\5\0" + framed(packet))),
    "VXLAN-GPE, IP": (
        1,
        lambda packet: tunnelled(4790, b"\x0c\0\0" + bytes([1 + (packet[0] >> 4 == 6)]) + b"\0\0\5\0" + packet),
    ),
    "Geneve, IP": (
        1,
        lambda packet: tunnelled(6081, b"\1\0" + kind_of(packet).to_bytes(2, "big") + b"\0\0\5\0" + bytes(4) + packet),
    ),
}


def made_for(wrap: str) -> list[tuple[float, bytes]]:
    """Twelve connections, whose ports are those of no other wrapping, and echoes."""
    chance, first = random.Random(wrap), 40000 + 100 * list(WRAPS).index(wrap)
    made = echoes(chance, first)
    for number in range(12):
        six = number % 3 == 0 and wrap != "GRE"
        made += Talk(chance, first + number, worse=0.04 * (number % 4), stamps=number % 2 == 0, six=six).packets
    return sorted(made, key=lambda each: each[0])


@dataclass
class Theirs:
    """What tshark says of one wrapping: counts of each stream, initial round trips by stream, echoes' round trips."""

    counts: dict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    initial: dict[int, float] = field(default_factory=dict)
    echoes: list[float] = field(default_factory=list)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Theirs]:
    """By wrapping. All are in one file, each an interface of its own: tshark takes long to start."""
    blocks, packets = [section()], []
    for which, (wrap, (link, wrapped)) in enumerate(WRAPS.items()):
        blocks.append(interface(link=link, resolution=9))
        packets += [(at, which, wrapped(packet)) for at, packet in made_for(wrap)]
    for at, which, frame in sorted(packets, key=lambda each: each[0]):
        blocks.append(enhanced(BASE + round(at * MS), frame, len(frame), which=which))
    path = tmp_path_factory.mktemp("tshark") / "all.pcapng"
    path.write_bytes(b"".join(blocks))
    found = [Theirs() for _ in WRAPS]
    names = [f"tcp.analysis.{name}" for name in (*_AGAIN, "lost_segment", "duplicate_ack", "initial_rtt")]
    rows = fields(path, "tcp or icmp", "frame.interface_id", "icmp.resptime", "tcp.stream", *names)
    for number, answered, stream, *marks, trip in rows:
        item = found[int(number)]
        if answered:
            item.echoes.append(float(answered))
        if stream:
            count = item.counts[int(stream)]
            count["packets"] += 1
            count["again"] += any(marks[: len(_AGAIN)])
            count["lost_segments"] += marks[-2] != ""
            count["duplicate_acks"] += marks[-1] != ""
            if trip:
                item.initial[int(stream)] = float(trip)
    return dict(zip(WRAPS, found, strict=True))


def fields(path: Path, wanted: str, *names: str) -> list[list[str]]:
    argv = [tshark_program(), "-r", str(path), "-Y", wanted, "-T", "fields"]
    argv += [word for name in names for word in ("-e", name)]
    told = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    return [line.split("\t") for line in told.splitlines()]


def ours(found: Qos) -> tuple[list[Counter[str]], dict[int, float]]:
    flows = [flow for flow in found.flows if flow.protocol == "tcp"]
    return [counted(flow) for flow in flows], {
        at: flow.initial_rtt.value for at, flow in enumerate(flows) if flow.initial_rtt.value is not None
    }


def counted(flow: FlowQos) -> Counter[str]:
    total: Counter[str] = Counter()
    for way in flow.directions:
        total["packets"] += way.counts["packets"]
        total["again"] += way.counts["retransmitted"] + way.counts["out_of_order"]
        for name in ("lost_segments", "duplicate_acks"):
            total[name] += way.counts[name]
    return total


@pytest.mark.parametrize("wrap", WRAPS)
def test_all_is_as_tshark_has_it(tmp_path: Path, wrap: str, theirs: dict[str, Theirs]) -> None:
    made, (link, wrapped) = made_for(wrap), WRAPS[wrap]
    packets = [(BASE + round(at * MS), frame, len(frame)) for at, packet in made for frame in [wrapped(packet)]]
    path = tmp_path / "capture.pcap"
    path.write_bytes(classic(packets, nano=True, link=link))
    found, told = examine(path), theirs[wrap]
    counts, initial = ours(found)
    assert found.totals.packets == len(made)
    assert counts == [told.counts[stream] for stream in sorted(told.counts)]
    assert sum(count["lost_segments"] for count in counts) > 0
    assert sum(count["again"] for count in counts) > 0
    numbers = {stream: at for at, stream in enumerate(sorted(told.counts))}
    assert initial == pytest.approx({numbers[stream]: trip for stream, trip in told.initial.items()}, abs=2e-9)
    (ping,) = [flow for flow in found.flows if flow.protocol == "icmp"]
    way = ping.directions[0]
    assert way.metrics["delay_s"].samples == len(told.echoes)
    assert way.metrics["delay_s"].value == pytest.approx(sum(told.echoes) / len(told.echoes) / 1e3, rel=1e-3)
    assert way.counts["lost"] == way.counts["requests"] - len(told.echoes)


def test_rtp_is_as_tshark_has_it(tmp_path: Path) -> None:
    """Losses, packets that come late or twice, numbers that wrap; jitter where tshark knows the clock."""
    chance, packets = random.Random(1), []
    for number, (kind, step, ticks, first) in enumerate([(0, 20, 160, 65500), (9, 20, 160, 3), (34, 40, 3600, 60000)]):
        for at in range(300):
            content = rtp(first + at, ticks * at, source=100 + number, kind=kind)
            late = chance.uniform(0, 6) + 25 * (chance.random() < 0.02)
            for again in range(1 + (chance.random() < 0.01)):
                frame = ethernet(
                    ip(CLIENT, SERVER, 17, udp((6000 + 2 * number, 7000), content), ident=at + 1000 * again)
                )
                if chance.random() > 0.03 * number:
                    packets.append((BASE + round((step * at + late + 2 * again) * MS), frame, len(frame)))
    path = tmp_path / "rtp.pcap"
    path.write_bytes(classic(sorted(packets, key=lambda packet: packet[0]), nano=True))
    argv = [tshark_program(), "-r", str(path), "-o", "rtp.heuristic_rtp:TRUE", "-q", "-z", "rtp,streams"]
    told = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    rows = re.findall(r"(0x\w{8})\s+\S+\s+(\d+)\s+(-?\d+) \(.*?\)" + r"\s+([\d.-]+)" * 5, told)
    theirs = {int(row[0], 16): (int(row[1]), int(row[2]), float(row[7])) for row in rows}
    sources = [source for flow in examine(path).flows for way in flow.directions for source in way.sources]
    assert len(theirs) == len(sources) == 3
    for source in sources:
        received, lost, jitter_ms = theirs[source.source]
        assert (source.received, source.expected - source.received) == (received, lost)
        assert source.jitter_s is not None
        assert source.jitter_s * 1e3 == pytest.approx(jitter_ms, abs=0.002)
