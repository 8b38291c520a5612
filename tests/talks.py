"""Conversations with known truths as captures, and what is said of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from captures import Packet, classic, ethernet, icmp, ip, rtp, tcp, udp
from migrascope.qos.examine import Around, examine
from migrascope.qos.result import Direction, FlowQos, Qos
from migrascope.store.pcap import reader

MS = 1_000_000
BASE = 1_700_000_000 * 10**9
CLIENT, SERVER = "10.0.0.1", "10.0.0.2"
SYN, ACK, FIN, RST = 2, 16, 1, 4
PARTS = 7


class Conversation:
    """Segments of one TCP flow. `client` and `server` add one at a time in ms, relative numbers, wrapping."""

    def __init__(self, *, port: int = 40000, stamps: bool = True, isn: int = 2**32 - 500) -> None:
        self.packets: list[Packet] = []
        self.port, self.stamps, self.isn = port, stamps, isn

    def _add(
        self, at_ms: float, ends: tuple[str, str], ports: tuple[int, int], seq: int, ack: int, flags: int, length: int,
        stamps: tuple[int, int] | None, window: int,
    ) -> None:  # fmt: skip
        wrapped = (seq + self.isn) % 2**32, (ack + self.isn) % 2**32 if flags & ACK else 0
        segment = tcp(ports, *wrapped, flags, bytes(length), stamps=stamps, window=window)
        self.packets.append(packet(at_ms, ethernet(ip(*ends, 6, segment))))

    def client(
        self, at_ms: float, seq: int, ack: int, length: int = 0, flags: int = ACK,
        stamps: tuple[int, int] | None = None, window: int = 500,
    ) -> None:  # fmt: skip
        self._add(at_ms, (CLIENT, SERVER), (self.port, 80), seq, ack, flags, length, stamps, window)

    def server(
        self, at_ms: float, seq: int, ack: int, length: int = 0, flags: int = ACK,
        stamps: tuple[int, int] | None = None, window: int = 500,
    ) -> None:  # fmt: skip
        self._add(at_ms, (SERVER, CLIENT), (80, self.port), seq, ack, flags, length, stamps, window)


def handshake(talk: Conversation, begin: float = 0, *, data: int = 0) -> None:
    talk.client(begin, 0, 0, data, flags=SYN)
    talk.server(begin + 9, 0, 1 + data, flags=SYN | ACK)
    talk.client(begin + 10, 1 + data, 1)


def answered(talk: Conversation, segments: int) -> Conversation:
    """The conversation with a handshake and so many segments, each of which is answered."""
    handshake(talk)
    for number in range(segments):
        talk.client(20 + 10 * number, 1 + 100 * number, 1, 100)
        talk.server(29 + 10 * number, 1, 101 + 100 * number)
    return talk


def echoes(lost: set[int], delay_ms: float, count: int = 100) -> Iterator[Packet]:
    for seq in range(count):
        yield packet(seq * 100, ethernet(ip(CLIENT, SERVER, 1, icmp(8, 3, seq))))
        if seq not in lost:
            yield packet(seq * 100 + delay_ms + seq % 2, ethernet(ip(SERVER, CLIENT, 1, icmp(0, 3, seq))))


def ping(at_ms: float, kind: int, seq: int, ends: tuple[str, str] = (CLIENT, SERVER)) -> Packet:
    return packet(at_ms, ethernet(ip(*(ends if kind else ends[::-1]), 1, icmp(kind, 9, seq))))


def stream(lost: set[int], jitter_ms: float, *, kind: int = 0, first: int = 65500, count: int = 400) -> list[Packet]:
    """RTP every 20 ms; every other packet jitter_ms late."""
    return [
        packet(
            20 * number + jitter_ms * (number % 2),
            ethernet(ip(CLIENT, SERVER, 17, udp((5004, 5004), rtp(first + number, 160 * number, kind=kind)))),
        )
        for number in set(range(count)) - lost
    ]


def tagged(packets: list[Packet], number: int, late_ms: float) -> list[Packet]:
    """The same in a VLAN."""
    return [
        (time + round(late_ms * MS), ethernet(frame[14:], tags=[0x8100], vlan=number), wire + 4)
        for time, frame, wire in packets
    ]


def packet(at_ms: float, frame: bytes) -> Packet:
    return BASE + round(at_ms * MS), frame, len(frame)


def written(folder: Path, packets: list[Packet], *, by_time: bool = True) -> Path:
    path = folder / "capture.pcap"
    path.write_bytes(classic(sorted(packets, key=lambda each: each[0]) if by_time else packets, nano=True))
    return path


def read(
    path: Path, *, window_s: float = 1.0, server: str | None = None, silence_s: float = 0.1,
    around: Around | None = None, most_parts: int = PARTS,
) -> Qos:  # fmt: skip
    """What is said of a capture. It must be the same whether the packets come in one batch or in several."""
    whole = examine(path, window_s=window_s, server=server, silence_s=silence_s, around=around)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "CHUNK", max(100, path.stat().st_size // most_parts))
        patch.setattr(reader, "MOST_BYTES", 70_000)
        parts = examine(path, window_s=window_s, server=server, silence_s=silence_s, around=around)
    assert "".join(parts.as_json()) == "".join(whole.as_json())
    return whole


def measured(
    folder: Path, packets: list[Packet], *, window_s: float = 1.0, server: str | None = None, by_time: bool = True
) -> Qos:
    return read(written(folder, packets, by_time=by_time), window_s=window_s, server=server)


def only(found: Qos) -> FlowQos:
    assert len(found.flows) == 1
    return found.flows[0]


def sent_by(flow: FlowQos, address: str) -> Direction:
    return next(direction for direction in flow.directions if direction.sender.startswith(address))
