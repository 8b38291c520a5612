"""What a capture says of its flows."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from migrascope.model.measured import Measured

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Window:
    """One direction in one window. Numbers of packets but for: bytes on the wire, seconds, bit/s. None where nothing
    could be measured."""

    start_s: float
    packets: int
    bytes: int
    throughput_bps: float
    delay_s: float | None
    jitter_s: float | None
    loss_ratio: float | None


@dataclass(frozen=True, slots=True)
class Direction:
    """What went from one end to the other. counts: packets of each kind by name. windows: those with packets."""

    sender: str
    receiver: str
    metrics: dict[str, Measured]
    counts: dict[str, int]
    windows: list[Window]


@dataclass(frozen=True, slots=True)
class FlowQos:
    """A flow: its protocol (tcp, udp, icmp, rtp), both ends, when it began (s after the capture), how long it lasted,
    the initial round trip of a TCP handshake, and both directions; one that no packet took is left out."""

    protocol: str
    ends: tuple[str, str]
    start_s: float
    duration_s: float
    initial_rtt: Measured
    directions: list[Direction]


@dataclass(frozen=True, slots=True)
class Totals:
    """Of the whole file. no_ip, not_measured: packets that are no IP, and those of other transports, of later
    fragments, and cut before their transport header. further: those of flows beyond the number that is told apart.
    cut: the file ends within a packet. windows: (start in s, packets, bytes on the wire)."""

    packets: int
    bytes: int
    duration_s: float
    begin_ns: int
    no_ip: int
    not_measured: int
    further: int
    cut: bool
    windows: list[tuple[float, int, int]]


@dataclass(frozen=True, slots=True)
class Qos:
    """The figures of one capture by flow, each by windows of window_s."""

    file: str
    window_s: float
    totals: Totals
    flows: list[FlowQos]

    def as_json(self) -> dict[str, Any]:
        """Plain data in base units (s, B, bit/s, ratio)."""
        totals = {name: getattr(self.totals, name) for name in Totals.__slots__ if name != "windows"}
        return {
            "schema": SCHEMA,
            "file": self.file,
            "window_s": self.window_s,
            **totals,
            "windows": [dict(zip(("start_s", "packets", "bytes"), row, strict=True)) for row in self.totals.windows],
            "flows": [_flow(flow) for flow in self.flows],
        }


def _flow(flow: FlowQos) -> dict[str, Any]:
    return {
        "protocol": flow.protocol,
        "start_s": flow.start_s,
        "duration_s": flow.duration_s,
        "initial_rtt_s": flow.initial_rtt.as_json(),
        "directions": list(map(_direction, flow.directions)),
    }


def _direction(direction: Direction) -> dict[str, Any]:
    return {
        "from": direction.sender,
        "to": direction.receiver,
        **{name: measured.as_json() for name, measured in direction.metrics.items()},
        "counts": direction.counts,
        "windows": list(_windows(direction.windows)),
    }


def _windows(windows: list[Window]) -> Iterator[dict[str, Any]]:
    for window in windows:
        yield {name: getattr(window, name) for name in Window.__slots__}
