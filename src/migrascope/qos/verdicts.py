"""Sums turned into metrics, each with its source, or with the reason why there is none."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from migrascope.model.measured import Measured, missing
from migrascope.qos.acts import Acts
from migrascope.qos.flows import Flow
from migrascope.qos.handshakes import UNANSWERED, Handshakes
from migrascope.qos.moments import Moment
from migrascope.qos.refusals import Refusals
from migrascope.qos.result import ActQos, Direction, FlowQos, MomentQos, RefusalQos, SilenceQos, Source
from migrascope.qos.rtp import Stream
from migrascope.qos.silences import Silence
from migrascope.qos.stretches import stretches
from migrascope.qos.tally import Tally, direction_and_window, reduced
from migrascope.store.pcap.frames import Ints

NS = 1e9
TIMES = "TCP time stamps or acknowledgements"
SEQUENCE = "TCP sequence numbers"
RTP = "RTP sequence numbers and time stamps"
ECHO = "ICMP echo"
WIRE = "lengths on the wire"
_NO_TRIP = "nothing that it sent was answered in the capture"
_NO_NUMBERS = "its packets carry no numbers that are known"
MOST_BUSY = 20
"""So many flows that did something during a silence are given."""
_PERCENTILE_BOUND = 2 ** (1 / 64) - 1
_COUNTED = {
    "tcp": {"data": "data_segments", "again": "retransmitted", "reordered": "out_of_order", "gaps": "lost_segments",
            "duplicates": "duplicate_acks"},
    "icmp": {"asked": "requests", "lost": "lost"},
    "udp": {},
}  # fmt: skip


@dataclass(frozen=True)
class Deeds:
    """What flows did and what was done to them, as it is told."""

    flows: list[Flow]
    acts: Acts
    refusals: Refusals
    begin_ns: int

    def of(self, number: int, begin_ns: int, end_ns: int) -> ActQos:
        """Of a flow from a silence's begin until 1 s after its end."""
        flow, act = self.flows[number], self.acts.of(number, begin_ns, end_ns)
        refusals = tuple(
            RefusalQos(*self.refusals.words[words], count, (first_ns - self.begin_ns) / NS)
            for words, (count, first_ns) in act.refused.items()
        )
        return ActQos(f"{flow.end(0)} ⇄ {flow.end(1)}", act.sent_again, act.longest_wait_s, act.reset, refusals)

    def silence(self, silence: Silence, busy: set[int], moved: list[Moment]) -> SilenceQos:
        """busy: flows that did something meanwhile; the first few are given."""
        until = silence.begin_ns + silence.length_ns
        return SilenceQos(
            (silence.begin_ns - self.begin_ns) / NS, silence.length_ns / NS, silence.low_ns / NS,
            silence.usual_ns / NS, silence.open, len(busy),
            tuple(self.of(number, silence.begin_ns, until) for number in sorted(busy)[:MOST_BUSY]),
            tuple(self.moment(each) for each in moved),
        )  # fmt: skip

    def moment(self, moment: Moment) -> MomentQos:
        return MomentQos((moment.time_ns - self.begin_ns) / NS, moment.kind, moment.address, moment.place)


@dataclass(frozen=True)
class Known:
    """What a whole capture has given: flows, when each began and ended, the first window, handshakes, sums, percentiles
    of round trips by direction (p50, p95; s), RTP streams by direction."""

    flows: list[Flow]
    spans: Ints
    begin_ns: int
    first_window: int
    handshakes: Handshakes
    tally: Tally
    silences: dict[int, list[Silence]]
    deeds: Deeds
    percentiles: dict[int, list[float]]
    streams: dict[int, list[Stream]]


def flow_results(known: Known, window_s: float) -> list[FlowQos]:
    """Every flow by the time of its first packet."""
    direction, window = direction_and_window(known.tally.keys)
    window = window - known.first_window
    places = {int(direction[begin]): slice(begin, end) for begin, end in stretches(direction)}
    sums = dict(zip(places, _sums(known.tally, [part.start for part in places.values()]), strict=True))

    def directions(flow: Flow, number: int, ends: tuple[str, str]) -> list[Direction]:
        return [
            _direction(known, flow, number, side, ends, places[key], sums[key], window, window_s)
            for side in (0, 1)
            if (key := 2 * number + side) in places
        ]

    found = []
    for (number, flow), (begin, end) in zip(enumerate(known.flows), known.spans.tolist(), strict=False):
        ends = flow.end(0), flow.end(1)
        keys = 2 * number, 2 * number + 1
        streams = any(key in known.streams for key in keys)
        found.append(
            FlowQos(
                "rtp" if streams else flow.name,
                ends,
                (begin - known.begin_ns) / NS,
                (end - begin) / NS,
                sum(sums[key]["bytes"] for key in keys if key in sums),
                _initial(known, flow, number),
                partial(directions, flow, number, ends),
                flow.inside,
            )
        )
    return sorted(found, key=lambda flow: (flow.start_s, flow.protocol, flow.ends))


def _initial(known: Known, flow: Flow, number: int) -> Measured:
    if flow.name != "tcp":
        return missing("s", SEQUENCE, "it is no TCP flow")
    initial, why = known.handshakes.initial(number)
    if initial is None:
        refusals = [refusal for key in (2 * number, 2 * number + 1) for refusal in known.deeds.refusals.of(key)]
        if why == UNANSWERED and refusals:
            why = f"refused: {refusals[0].why}, says {refusals[0].by}"
        return missing("s", SEQUENCE, why)
    return Measured(initial / NS, "s", SEQUENCE, samples=1)


def _sums(tally: Tally, begins: list[int]) -> list[dict[str, int]]:
    """Of each stretch of the tally's rows its columns' sums, or greatest values."""
    if not begins:
        return []
    found = {name: reduced(name, values, np.array(begins)).tolist() for name, values in tally.columns.items()}
    return [dict(zip(found, values, strict=True)) for values in zip(*found.values(), strict=True)]


def _direction(
    known: Known, flow: Flow, number: int, side: int, ends: tuple[str, str], rows: slice, sums: dict[str, int],
    window: Ints, window_s: float,
) -> Direction:  # fmt: skip
    key = 2 * number + side
    streams = known.streams.get(key, [])
    begin, end = known.spans[number].tolist()
    metrics = {"throughput_bps": _throughput(sums["bytes"], sums["packets"], (end - begin) / NS)}
    metrics |= _delay(flow, sums, sums["trip_max_ns"], known.percentiles.get(key))
    metrics["jitter_s"] = _jitter(flow, sums, streams)
    metrics["loss_ratio"] = _loss(flow, sums, streams)
    counts = {"packets": sums["packets"], "bytes": sums["bytes"], "payload_bytes": sums["payload"]}
    counts |= {name: sums[column] for column, name in _COUNTED[flow.name].items()}
    if streams:
        counts |= {"expected": sum(stream.expected for stream in streams)}
        counts |= {"received": sum(stream.received for stream in streams)}
    columns = {name: values[rows] for name, values in known.tally.columns.items()}
    windows = _windows(flow, columns, window[rows], bool(streams))
    sources = tuple(
        Source(
            stream.source, stream.kind, stream.expected, stream.received, stream.resets,
            stream.jitter_sum_ns / stream.transits / NS if stream.transits else None,
        )
        for stream in streams
    )  # fmt: skip
    silences = tuple(known.deeds.silence(each, _busy(known, number, each), []) for each in known.silences.get(key, []))
    refusals = tuple(
        RefusalQos(each.by, each.why, each.count, (each.first_ns - known.begin_ns) / NS)
        for each in known.deeds.refusals.of(key)
    )
    return Direction(ends[side], ends[1 - side], metrics, counts, window_s, windows, sources, silences, refusals)


def _busy(known: Known, number: int, silence: Silence) -> set[int]:
    acted = known.deeds.acts.of(number, silence.begin_ns, silence.begin_ns + silence.length_ns)
    return {number} if acted.anything else set()


def _throughput(size: int, packets: int, duration_s: float) -> Measured:
    if duration_s <= 0:
        return missing(
            "bit/s", WIRE, "it is a single packet" if packets == 1 else "all its packets have one time stamp"
        )
    return Measured(size * 8 / duration_s, "bit/s", WIRE, samples=packets)


def _delay(flow: Flow, sums: dict[str, int], most_ns: int, percentiles: list[float] | None) -> dict[str, Measured]:
    source = ECHO if flow.name == "icmp" else TIMES
    names = ("delay_s", "delay_p50_s", "delay_p95_s", "delay_max_s")
    if not sums["trips"] or percentiles is None:
        why = _NO_NUMBERS if flow.name == "udp" else _NO_TRIP
        return {name: missing("s", source, why) for name in names}
    n = sums["trips"]
    mean, most = sums["trip_sum_ns"] / n / NS, most_ns / NS
    ranks = [
        Measured(min(value, most), "s", source, bound=value * _PERCENTILE_BOUND, samples=n) for value in percentiles
    ]
    return dict(zip(names, [Measured(mean, "s", source, samples=n), *ranks, Measured(most, "s", source, samples=n)],
                    strict=True))  # fmt: skip


def _jitter(flow: Flow, sums: dict[str, int], streams: list[Stream]) -> Measured:
    if streams:
        transits = sum(stream.transits for stream in streams)
        if not transits:
            return missing("s", RTP, "too few packets to tell the clock of its time stamps")
        return Measured(sum(stream.jitter_sum_ns for stream in streams) / transits / NS, "s", RTP, samples=transits)
    source = ECHO if flow.name == "icmp" else TIMES
    if not sums["changes"]:
        return missing("s", source, _NO_NUMBERS if flow.name == "udp" else "no two round trips in a row")
    return Measured(sums["change_sum_ns"] / sums["changes"] / NS, "s", source, samples=sums["changes"])


def _loss(flow: Flow, sums: dict[str, int], streams: list[Stream]) -> Measured:
    if streams:
        expected = sum(stream.expected for stream in streams)
        lost = expected - sum(stream.received for stream in streams)
        return Measured(lost / expected, "ratio", RTP, samples=expected)
    if flow.name == "tcp":
        if not sums["data"]:
            return missing("ratio", SEQUENCE, "it carried no data")
        return Measured(sums["again"] / sums["data"], "ratio", SEQUENCE, samples=sums["data"])
    if flow.name == "icmp":
        settled = sums["trips"] + sums["lost"]
        if not settled:
            return missing("ratio", ECHO, "it asked nothing, or the capture ended before a reply was due")
        return Measured(sums["lost"] / settled, "ratio", ECHO, samples=settled)
    return missing("ratio", "UDP", _NO_NUMBERS)


def _windows(flow: Flow, columns: dict[str, Ints], window: Ints, streamed: bool) -> dict[str, Ints]:
    """The columns of Direction. What was lost of what was sent: of a TCP flow segments sent again of those with data,
    of a stream packets missing of those expected, else echoes that were not answered."""
    kept = {name: columns[name] for name in ("packets", "bytes", "trips", "trip_sum_ns", "changes", "change_sum_ns")}
    sent, lost = columns["trips"] + columns["lost"], columns["lost"]
    if flow.name == "tcp":
        sent, lost = columns["data"], columns["again"]
    elif streamed:
        sent, lost = columns["streamed"] + columns["missed"], columns["missed"]
        kept |= {"changes": columns["timed"], "change_sum_ns": columns["jitter_sum_ns"]}
    return {"window": window, **kept, "sent": sent, "lost": lost}
