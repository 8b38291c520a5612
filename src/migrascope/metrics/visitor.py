"""The visitors' own flows: round trip, retransmission and goodput, from TCP_INFO of every socket and what arrived."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from migrascope.metrics.packets import NS, Ints, Span, inside
from migrascope.metrics.rank import at_rank
from migrascope.metrics.windows import WINDOWS, Windows
from migrascope.model.measured import Measured, missing
from migrascope.store.recording import Recording

TCP = "tcp_info"
PAYLOAD = "visit and arrival"
BIN_NS = 100_000_000
_LEAST_BATCHES = 3
_T975 = (float("inf"), 12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23)


def measure(recording: Recording, windows: Windows) -> dict[str, Measured]:
    """visitor.rtt_s, visitor.retransmit_ratio and visitor.goodput_bps of each window, and visitor.lost_s."""
    flows = progress(recording.table("tcp_info"))
    stamps, sizes = delivered(recording)
    found: dict[str, Measured] = {}
    for name in WINDOWS:
        span = windows.span(name)
        found |= _round_trip(flows, span, name)
        found[f"visitor.retransmit_ratio.{name}"] = _retransmitted(flows, span, name)
        found[f"visitor.goodput_bps.{name}"] = _goodput(stamps, sizes, span, name)
    found["visitor.lost_s.during"] = _lost_seconds(stamps, sizes, windows)
    return found


def progress(tcp_info: pl.DataFrame) -> pl.DataFrame:
    """What each sample of a flow adds to the one before it: mono_ns, rtt_us, and new_out, new_retrans, new_in
    (segments). A flow's first sample counts from nothing."""

    def new(column: str) -> pl.Expr:
        change = pl.col(column).diff()
        return pl.when(pl.col("first") | (change < 0)).then(pl.col(column)).otherwise(change)

    # flows are found once, and not for each use of a change as diff().over(...) would: a fifth of the time
    flow = pl.struct("source", "flow")
    first = (flow != flow.shift()).fill_null(value=True)
    return (
        tcp_info.sort("source", "flow", "mono_ns")
        .with_columns(first=first)
        .select("mono_ns", "rtt_us", new_out=new("segs_out"), new_retrans=new("total_retrans"), new_in=new("segs_in"))
    )


def delivered(recording: Recording) -> tuple[Ints, Ints]:
    """(mono ns, bytes) of every payload that reached a visitor or viewer: a page when whole, media as it came."""
    visits = recording.table("visit").filter(pl.col("done_ns") > 0).select(mono_ns="done_ns", bytes="bytes")
    both = pl.concat([visits, recording.table("arrival").select("mono_ns", "bytes")]).sort("mono_ns")
    return both["mono_ns"].to_numpy(), both["bytes"].to_numpy()


def bins_bps(stamps: Ints, sizes: Ints, span: Span) -> NDArray[np.float64]:
    """Goodput in each whole 100 ms of the span, bit/s."""
    count = (span[1] - span[0]) // BIN_NS
    edges = span[0] + BIN_NS * np.arange(count + 1)
    sums, _ = np.histogram(stamps, bins=edges, weights=sizes) if count else (np.zeros(0), None)
    return np.asarray(sums * 8 * NS / BIN_NS, dtype=np.float64)


def _round_trip(flows: pl.DataFrame, span: Span | None, name: str) -> dict[str, Measured]:
    """TCP's own smoothed estimate, from samples in which something new had come: a silent flow only repeats itself."""
    keys = {f"visitor.rtt_s.{name}.p50": 50, f"visitor.rtt_s.{name}.p95": 95}
    if span is None:
        return {key: missing("s", TCP, f"the trial has no window {name}") for key in keys}
    fresh = flows.filter(pl.col("mono_ns").is_between(*span, closed="left"), pl.col("new_in") > 0, pl.col("rtt_us") > 0)
    values = fresh["rtt_us"].to_numpy()
    if not len(values):
        return {key: missing("s", TCP, f"no flow received anything in {name}") for key in keys}
    return {key: Measured(at_rank(values, rank) / 1e6, "s", TCP, samples=len(values)) for key, rank in keys.items()}


def _retransmitted(flows: pl.DataFrame, span: Span | None, name: str) -> Measured:
    if span is None:
        return missing("ratio", TCP, f"the trial has no window {name}")
    chosen = flows.filter(pl.col("mono_ns").is_between(*span, closed="left"))
    out, again = int(chosen["new_out"].sum()), int(chosen["new_retrans"].sum())
    if not out:
        return missing("ratio", TCP, f"no visitor sent anything in {name}")
    return Measured(again / out, "ratio", TCP, samples=out)


def _goodput(stamps: Ints, sizes: Ints, span: Span | None, name: str) -> Measured:
    if span is None:
        return missing("bit/s", PAYLOAD, f"the trial has no window {name}")
    if not len(stamps):
        return missing("bit/s", PAYLOAD, "no visitors")
    chosen = inside(stamps, span)
    total = int(sizes[chosen].sum())
    return Measured(total * 8 * NS / (span[1] - span[0]), "bit/s", PAYLOAD, samples=int(chosen.sum()))


def _lost_seconds(stamps: Ints, sizes: Ints, windows: Windows) -> Measured:
    """Each 100 ms of during by the share of before's median that it falls short of, less what before's own bins fall
    short of it on average. Below zero where they fell shorter of it before. Its error: a bin at each end of
    an interruption, and what before's scatter gives so many bins with 95 % confidence."""
    key = "s", PAYLOAD
    if windows.before is None or windows.during is None or not len(stamps):
        return missing(*key, "no visitors" if not len(stamps) else "the trial has no window before or during")
    before, during = bins_bps(stamps, sizes, windows.before), bins_bps(stamps, sizes, windows.during)
    usual = float(np.median(before)) if len(before) else 0.0
    if not usual or not len(during):
        return missing(*key, "nothing reached the visitors in most of before")
    short, usually = np.maximum(0, 1 - during / usual), np.maximum(0, 1 - before / usual)
    lost = float(short.sum() - len(during) * usually.mean())
    scatter = spread(usually) * (len(during) * (1 + len(during) / len(before))) ** 0.5
    bin_s = BIN_NS / NS
    lost_s = Measured(lost * bin_s, *key, samples=len(during)).within(resolution=2 * bin_s, scatter=scatter * bin_s)
    return lost_s.censored(windows.cut_off)


def spread(bins: NDArray[np.float64]) -> float:
    """By how much a sum of n bins may differ from n times their mean, by the root of n, with 95 % confidence.

    Neighbouring bins are alike, so that sums scatter more than single bins say. By batch means (Law, Simulation
    Modeling and Analysis, 9.5.3): batches of 1, 2, 4, ... bins, of each length three at least; the largest counts, with
    Student's t for so few.
    """
    found, length = 0.0, 1
    while (count := len(bins) // length) >= _LEAST_BATCHES:
        means = bins[: count * length].reshape(count, length).mean(axis=1)
        found = max(found, _t975(count - 1) * length**0.5 * float(means.std(ddof=1)))
        length *= 2
    return found


def _t975(freedom: int) -> float:
    """The 97.5 % quantile of Student's t; beyond the table within 0.02."""
    return _T975[freedom] if freedom < len(_T975) else 1.96 + 2.5 / freedom
