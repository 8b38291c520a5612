"""Generated captures of every kind, read by tshark and by us: the same packets, flows, segments and handshakes.

Which of two words tshark has for a segment that came again (retransmission or out of order) is left open: their sum
counts.
"""

import random
import subprocess
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from captures import Packet, classic, ethernet, geneve, gre, icmp, ip, mpls, nflog, pppoe, snap, tcp, vxlan
from migrascope.metrics.qos.examine import examine
from migrascope.metrics.qos.result import FlowQos, Qos
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


def echoes(chance: random.Random) -> list[tuple[float, bytes]]:
    made = []
    for seq in range(40):
        made.append((50.0 * seq, ip(CLIENT, SERVER, 1, icmp(8, 7, seq % 16))))
        if chance.random() < 0.8:
            made.append((50.0 * seq + chance.uniform(1, 30), ip(SERVER, CLIENT, 1, icmp(0, 7, seq % 16))))
    return made


def kind_of(packet: bytes) -> int:
    return 0x86DD if packet[0] >> 4 == 6 else 0x0800


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
}


def written(folder: Path, made: list[tuple[float, bytes]], link: int, wrap: Callable[[bytes], bytes]) -> Path:
    packets: list[Packet] = []
    for at, packet in sorted(made, key=lambda each: each[0]):
        frame = wrap(packet)
        packets.append((BASE + round(at * MS), frame, len(frame)))
    path = folder / "capture.pcap"
    path.write_bytes(classic(packets, nano=True, link=link))
    return path


def fields(path: Path, wanted: str, *names: str) -> list[list[str]]:
    argv = [
        tshark_program(),
        "-r",
        str(path),
        "-Y",
        wanted,
        "-T",
        "fields",
        *(w for name in names for w in ("-e", name)),
    ]
    return [
        line.split("\t")
        for line in subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
    ]


def theirs(path: Path) -> tuple[list[Counter[str]], dict[int, float]]:
    """tshark's counts of each stream, and by stream its initial round trip."""
    names = [f"tcp.analysis.{name}" for name in (*_AGAIN, "lost_segment", "duplicate_ack", "initial_rtt")]
    counts: dict[int, Counter[str]] = defaultdict(Counter)
    initial: dict[int, float] = {}
    for stream, *found, trip in fields(path, "tcp", "tcp.stream", *names):
        counts[int(stream)]["packets"] += 1
        counts[int(stream)]["again"] += any(found[: len(_AGAIN)])
        counts[int(stream)]["lost_segments"] += found[-2] != ""
        counts[int(stream)]["duplicate_acks"] += found[-1] != ""
        if trip:
            initial[int(stream)] = float(trip)
    return [counts[stream] for stream in range(len(counts))], initial


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
def test_tcp_is_as_tshark_has_it(tmp_path: Path, wrap: str) -> None:
    chance = random.Random(wrap)
    made = []
    for number in range(12):
        six = number % 3 == 0 and wrap != "GRE"
        talk = Talk(chance, 40000 + number, worse=0.04 * (number % 4), stamps=number % 2 == 0, six=six)
        made += talk.packets
    path = written(tmp_path, made, *WRAPS[wrap])
    their_counts, their_initial = theirs(path)
    found = examine(path)
    counts, initial = ours(found)
    assert found.totals.packets == len(made)
    assert counts == their_counts
    assert sum(count["lost_segments"] for count in counts) > 0
    assert sum(count["again"] for count in counts) > 0
    assert initial == pytest.approx(their_initial, abs=2e-9)


def test_echoes_are_as_tshark_has_them(tmp_path: Path) -> None:
    path = written(tmp_path, echoes(random.Random(1)), *WRAPS["Ethernet"])
    times = [float(time[0]) for time in fields(path, "icmp.resptime", "icmp.resptime")]
    (flow,) = examine(path).flows
    way = flow.directions[0]
    assert way.metrics["delay_s"].samples == len(times)
    assert way.metrics["delay_s"].value == pytest.approx(sum(times) / len(times) / 1e3, rel=1e-3)
    assert way.counts["lost"] == way.counts["requests"] - len(times)
