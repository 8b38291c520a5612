"""The flows of a capture for a terminal or a pipe."""

import textwrap
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from migrascope.model.measured import Measured
from migrascope.model.units import human
from migrascope.qos.result import ActQos, Direction, FlowQos, MomentQos, Qos, RefusalQos, SilenceQos, Totals

SHOWN = 20
DASH = "—"
_TITLES = ("packets", "bytes", "throughput", "delay p50", "p95", "jitter", "loss")
_WIDTHS = (9, 10, 13, 11, 10, 10, 8)


def show(qos: Qos, console: Console) -> None:
    """Prints what the capture holds and its largest flows, a line for each direction."""
    totals = qos.totals
    console.print(
        f"{totals.packets} packets, {human(totals.bytes, 'B')}, {human(totals.duration_s, 's')}", markup=False
    )
    for line in remarks(totals):
        _tell(console, line)
    if not qos.flows:
        return
    largest = sorted(qos.flows, key=lambda flow: flow.bytes, reverse=True)[:SHOWN]
    console.print(Text("\n   " + _line(_TITLES), style="bold"), soft_wrap=True)
    for flow in sorted(largest, key=lambda flow: flow.start_s):
        _tell(console, flow_name(flow))
        for at, direction in enumerate(flow.directions):
            arrow = "→" if direction.sender == flow.ends[0] and not at else "←"
            console.print(Text(f"  {arrow}{_line(_figures(direction))}"), soft_wrap=True)
            for source in direction.sources if len(direction.sources) > 1 else ():
                lost = source.expected - source.received
                console.print(
                    Text(f"     source 0x{source.source:x}: {lost} of {source.expected} lost"), soft_wrap=True
                )
    _more(qos, console)
    _quiet(qos, console)


def _more(qos: Qos, console: Console) -> None:
    if len(qos.flows) > SHOWN:
        console.print(f"the {SHOWN} largest of {len(qos.flows)} flows; all of them, by window: --json", markup=False)


def _quiet(qos: Qos, console: Console) -> None:
    """Who was silent when, what flows did meanwhile, and who moved. Around a time what lies within 10 s of it."""
    around = qos.around

    def near(begin_s: float, end_s: float) -> bool:
        return around is None or (begin_s <= around.at_s + around.within_s and end_s >= around.at_s - around.within_s)

    lines = [
        (end.address, silence)
        for end in qos.ends
        for silence in end.silences
        if near(silence.start_s, silence.start_s + silence.length_s)
    ]
    if lines:
        console.print(Text("\nSilences", style="bold"))
    for address, silence in lines[:SHOWN]:
        _tell(console, silence_line(address, silence))
        for act in silence.acts[:5]:
            _tell(console, f"     {act_line(act)}")
        for moment in silence.moved[:5]:
            _tell(console, f"     {moment_line(moment)}")
    if len(lines) > SHOWN:
        console.print(f"the {SHOWN} first of {len(lines)}; all of them, and those of each flow: --json", markup=False)
    moments = [moment for moment in qos.moments if near(moment.time_s, moment.time_s)]
    if moments:
        console.print(Text("\nWho moved", style="bold"))
    for moment in moments[:SHOWN]:
        _tell(console, f"  {moment_line(moment)}")
    if around is not None:
        console.print(Text(f"\nFlows from {around.within_s:g} s before to {around.within_s:g} s after", style="bold"))
        for act in around.acts[:SHOWN]:
            _tell(console, f"  {act_line(act)}")
        if not around.acts:
            console.print("  none sent anything again, was reset or refused", markup=False)


def _tell(console: Console, line: str) -> None:
    """Prints a sentence: on a terminal broken between words, with what follows further in, and else as one line."""
    if not console.is_terminal:
        console.print(Text(line), soft_wrap=True)
        return
    inner = len(line) - len(line.lstrip()) + 4
    for part in textwrap.wrap(line, console.width, subsequent_indent=" " * inner, drop_whitespace=True):
        console.print(Text(part), soft_wrap=True)


def silence_line(address: str, silence: SilenceQos) -> str:
    """A silence in words."""
    least = "at least " if silence.open else ""
    end = " until the capture ended" if silence.open else ""
    return (
        f"  {address} was silent for {least}{human(silence.length_s, 's')} from {silence.start_s:.3f} s on{end} "
        f"({human(silence.low_s, 's')} at least; a packet every {human(silence.usual_s, 's')} before)"
    )


def act_line(act: ActQos) -> str:
    """What a flow did, in words."""
    words = [f"{act.sent_again} segments sent again"] if act.sent_again else []
    if act.longest_wait_s is not None:
        words.append(f"{human(act.longest_wait_s, 's')} between two at most")
    if act.reset:
        words.append("reset")
    words += [refusal_words(refusal) for refusal in act.refusals[:3]]
    return f"{act.flow}: {', '.join(words)}"


def refusal_words(refusal: RefusalQos) -> str:
    """Who said what, how often."""
    often = f" {refusal.count} times" if refusal.count > 1 else ""
    return f"refused{often} by {refusal.by} ({refusal.why})"


def moment_line(moment: MomentQos) -> str:
    """When somebody told or showed where it is, in words."""
    return f"{moment.time_s:.3f} s: {moment.kind} of {moment.address}, {moment.place}"


def remarks(totals: Totals) -> list[str]:
    """What a reader must know of the capture, a sentence each."""
    found = []
    if counts := totals.no_ip | totals.not_measured:
        kinds = ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=lambda each: -each[1]))
        found.append(f"{_packets(sum(counts.values()), 'is', 'are')} in no flow: {kinds}")
    if totals.further:
        belong = _packets(totals.further, "belongs", "belong")
        found.append(f"{belong} to more flows than are told apart: no figure below counts any")
    if totals.twice:
        found.append(
            f"{_packets(totals.twice, 'was', 'were')} captured twice (several interfaces, or a mirror of both"
            " ports): each counts once"
        )
    if totals.untimed:
        carry = _packets(totals.untimed, "carries", "carry")
        found.append(f"{carry} no time stamp (simple packet blocks): no figure below counts any")
    if totals.backward:
        found.append(
            f"{_packets(totals.backward, 'is', 'are')} stamped before the one in front, by"
            f" {human(totals.backward_s, 's')} at most: durations are from the least stamp to the greatest"
        )
    if totals.damage:
        found.append(f"the file is not whole: {totals.damage}")
    return found


def _packets(count: int, one: str, many: str) -> str:
    return f"1 packet {one}" if count == 1 else f"{count} packets {many}"


def flow_ends(flow: FlowQos) -> str:
    """What a flow is: its protocol, its ends, and what it is inside of."""
    inside = f" inside {', '.join(flow.inside)}" if flow.inside else ""
    return f"{flow.protocol} {flow.ends[0]} ⇄ {flow.ends[1]}{inside}"


def flow_name(flow: FlowQos) -> str:
    """A flow in words: its ends, what it is inside of, how long it lasted, and the handshake's round trip."""
    told = f"{flow_ends(flow)}, {human(flow.duration_s, 's')}"
    refusals = [refusal for direction in flow.directions for refusal in direction.refusals]
    told += "".join(f"; {refusal_words(refusal)}" for refusal in refusals[:3])
    if flow.protocol != "tcp":
        return told
    if flow.initial_rtt.value is None:
        return f"{told}; no initial RTT: {flow.initial_rtt.reason}"
    return f"{told}, initial RTT {_text(flow.initial_rtt)}"


def _figures(direction: Direction) -> list[str]:
    metrics = direction.metrics
    return [
        str(direction.counts["packets"]),
        human(direction.counts["bytes"], "B"),
        *(_text(metrics[name]) for name in ("throughput_bps", "delay_p50_s", "delay_p95_s", "jitter_s", "loss_ratio")),
    ]


def _line(words: Sequence[str]) -> str:
    return "".join(word.rjust(width) for word, width in zip(words, _WIDTHS, strict=True))


def _text(measured: Measured) -> str:
    return DASH if measured.value is None else human(measured.value, measured.unit)
