"""What a capture says of its flows."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from migrascope.model.measured import Measured
from migrascope.store.pcap.frames import Ints

SCHEMA = 2
NS = 1e9


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
class Source:
    """One synchronisation source of RTP: its number, payload type, packets expected and received by its sequence
    numbers, how often its time stamps began anew, and the mean of its running estimate of jitter, s; None where the
    clock of its time stamps is not known."""

    source: int
    payload_type: int
    expected: int
    received: int
    resets: int
    jitter_s: float | None


@dataclass(frozen=True, slots=True)
class RefusalQos:
    """ICMP said that packets do not arrive: who said so (an address), why, how often, and when first, s after the
    capture's begin."""

    by: str
    why: str
    count: int
    first_s: float


@dataclass(frozen=True, slots=True)
class ActQos:
    """What a flow did from the begin of a silence until 1 s after its end: segments sent again, the longest wait
    between two of them (s, None of fewer), whether it was reset, and who refused its packets."""

    flow: str
    sent_again: int
    longest_wait_s: float | None
    reset: bool
    refusals: tuple[RefusalQos, ...]


@dataclass(frozen=True, slots=True)
class SilenceQos:
    """When nothing came from who had sent regularly. start_s: the last packet before it, after the capture's begin;
    length_s: to the first one behind it; low_s: two usual intervals less, between which and length_s lies for how long
    something was missing; usual_s: the median interval before; open: nothing came until the capture ended; busy: how
    many flows sent again, were reset or refused meanwhile, of which acts has the first; moved: of an end, what told
    from the begin of the silence until 1 s after its end that it is in another place."""

    start_s: float
    length_s: float
    low_s: float
    usual_s: float
    open: bool
    busy: int
    acts: tuple[ActQos, ...]
    moved: tuple["MomentQos", ...] = ()


@dataclass(frozen=True, slots=True)
class AroundQos:
    """What the flows that sent again, were reset or refused did within within_s of at_s after the capture's begin."""

    at_s: float
    within_s: float
    acts: tuple[ActQos, ...]


@dataclass(frozen=True, slots=True)
class EndQos:
    """An address that was silent over all of its flows; the longest silence first."""

    address: str
    silences: tuple[SilenceQos, ...]


@dataclass(frozen=True, slots=True)
class MomentQos:
    """An address told or showed where it is: kind RARP, GARP, neighbour advertisement, or first frame from another
    place or another port; place: its hardware address, and the end of the tunnel or the interface that it came
    through."""

    time_s: float
    kind: str
    address: str
    place: str


@dataclass(frozen=True, slots=True)
class Direction:
    """What went from one end to the other. counts: packets of each kind by name. columns: what the windows with
    packets are made of: window, and the sums of each. sources: of RTP, the largest first;
    silences: the longest first; refusals: what ICMP said of these packets, by the time when it was first said."""

    sender: str
    receiver: str
    metrics: dict[str, Measured]
    counts: dict[str, int]
    window_s: float
    columns: dict[str, Ints]
    sources: tuple[Source, ...] = ()
    silences: tuple[SilenceQos, ...] = ()
    refusals: tuple[RefusalQos, ...] = ()

    @property
    def windows(self) -> list[Window]:
        """The windows in which packets went this way, or requests were lost."""
        names = ("window", "packets", "bytes", "trips", "trip_sum_ns", "changes", "change_sum_ns", "sent", "lost")
        rows = zip(*(self.columns[name].tolist() for name in names), strict=True)
        return [
            Window(
                at * self.window_s, packets, size, size * 8 / self.window_s,
                trip / trips / NS if trips else None,
                change / changes / NS if changes else None,
                lost / sent if sent else None,
            )
            for at, packets, size, trips, trip, changes, change, sent, lost in rows
        ]  # fmt: skip


@dataclass(frozen=True)
class FlowQos:
    """A flow: its protocol (tcp, udp, icmp, rtp), both ends, when it began (s after the capture), how long it lasted,
    its bytes on the wire, the initial round trip of a TCP handshake, and what its packets came through, outermost first
    ("VLAN 7", "Geneve 5"). summed: gives both directions (one that no packet took is left out); of 100,000 flows few
    are looked at."""

    protocol: str
    ends: tuple[str, str]
    start_s: float
    duration_s: float
    bytes: int
    initial_rtt: Measured
    summed: Callable[[], list[Direction]] = field(repr=False, compare=False)
    inside: tuple[str, ...] = ()

    @cached_property
    def directions(self) -> list[Direction]:
        """Both directions, or the one that packets took."""
        return self.summed()


@dataclass(frozen=True, slots=True)
class Totals:
    """Of the whole file. duration_s: from the least stamp to the greatest; begin_ns: where start_s counts from, ns
    since 1970. no_ip, not_measured: by what they are, packets that are no IP, and those of other transports, of
    fragments whose first one is not there, and cut before their transport header. further: those of flows beyond the
    number that is told apart; twice: those that the capture holds already, which are in no flow; untimed: those without
    a time stamp; backward: those stamped before the packet in front of them, backward_s: by so much at most.
    damage: what of the file is missing and why, as a clause; None where it is whole.
    windows: (start in s,
    packets, bytes on the wire)."""

    packets: int
    bytes: int
    duration_s: float
    begin_ns: int
    no_ip: dict[str, int]
    not_measured: dict[str, int]
    further: int
    twice: int
    untimed: int
    backward: int
    backward_s: float
    damage: str | None
    windows: list[tuple[float, int, int]]

    @property
    def cut(self) -> bool:
        """Whether something of the file is missing."""
        return self.damage is not None


@dataclass(frozen=True, slots=True)
class Qos:
    """The figures of one capture by flow, each by windows of window_s; the ends that were silent, the longest first;
    the moments at which somebody moved; and what flows did around a time, where one was given."""

    file: str
    window_s: float
    totals: Totals
    flows: list[FlowQos]
    ends: list[EndQos]
    moments: list[MomentQos]
    around: AroundQos | None

    def as_json(self) -> Iterator[str]:
        """JSON in base units (s, B, bit/s, ratio), a flow at a time: of a large capture it is long."""
        totals = {name: getattr(self.totals, name) for name in Totals.__slots__ if name != "windows"} | {
            "cut": self.totals.cut
        }
        windows = [dict(zip(("start_s", "packets", "bytes"), row, strict=True)) for row in self.totals.windows]
        head = {"schema": SCHEMA, "file": self.file, "window_s": self.window_s, **totals, "windows": windows}
        head |= {"ends": [asdict(end) for end in self.ends], "moments": [asdict(moment) for moment in self.moments]}
        head["around"] = None if self.around is None else asdict(self.around)
        yield json.dumps(head)[:-1] + ', "flows": ['
        for at, flow in enumerate(self.flows):
            yield (",\n" if at else "\n") + json.dumps(_flow(flow))
        yield "\n]}\n"


def _flow(flow: FlowQos) -> dict[str, Any]:
    return {
        "protocol": flow.protocol,
        "inside": flow.inside,
        "start_s": flow.start_s,
        "duration_s": flow.duration_s,
        "initial_rtt_s": flow.initial_rtt.as_json(),
        "directions": [_direction(direction) for direction in flow.directions],
    }


def _direction(direction: Direction) -> dict[str, Any]:
    return {
        "from": direction.sender,
        "to": direction.receiver,
        **{name: measured.as_json() for name, measured in direction.metrics.items()},
        "counts": direction.counts,
        "silences": [asdict(silence) for silence in direction.silences],
        "refusals": [asdict(refusal) for refusal in direction.refusals],
        "sources": [asdict(source) for source in direction.sources],
        "windows": [{name: getattr(window, name) for name in Window.__slots__} for window in direction.windows],
    }
