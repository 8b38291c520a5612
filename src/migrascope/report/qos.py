"""The flows of a capture for a terminal or a pipe."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from migrascope.metrics.qos.result import Direction, FlowQos, Qos
from migrascope.model.measured import Measured
from migrascope.model.units import human

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
    for count, words in (
        (totals.no_ip, "are no IP"),
        (totals.not_measured, "are neither TCP, UDP nor ICMP echo, or cut before that"),
        (totals.further, "belong to more flows than are told apart, and are in no figure below"),
    ):
        if count:
            console.print(f"{count} packets {words}", markup=False)
    if totals.cut:
        console.print("the file ends within a packet, which is left out", markup=False)
    if not qos.flows:
        return
    largest = sorted(qos.flows, key=_bytes, reverse=True)[:SHOWN]
    console.print(Text("\n   " + _line(_TITLES), style="bold"), soft_wrap=True)
    for flow in sorted(largest, key=lambda flow: flow.start_s):
        console.print(Text(_name(flow)), soft_wrap=True)
        for direction in flow.directions:
            arrow = "→" if direction.sender == flow.ends[0] else "←"
            console.print(Text(f"  {arrow}{_line(_figures(direction))}"), soft_wrap=True)
    if len(qos.flows) > SHOWN:
        console.print(f"the {SHOWN} largest of {len(qos.flows)} flows; all of them, by window: --json", markup=False)


def _bytes(flow: FlowQos) -> int:
    return sum(direction.counts["bytes"] for direction in flow.directions)


def _name(flow: FlowQos) -> str:
    told = f"{flow.protocol} {flow.ends[0]} ⇄ {flow.ends[1]}, {human(flow.duration_s, 's')}"
    if flow.initial_rtt.value is None:
        return told
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
