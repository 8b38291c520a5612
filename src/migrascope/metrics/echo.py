"""Delay, its variation and loss by window, from echo probes."""

import numpy as np
import polars as pl

from migrascope.metrics.packets import LATE_NS, NS, TMAX_NS, Ints, Packets, Span, inside
from migrascope.metrics.rank import at_rank
from migrascope.metrics.windows import WINDOWS, Windows
from migrascope.model.measured import Measured, missing

SOURCE = "echo"
PERCENTILES = {"p50": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0}
RFC3550_GAIN = 1 / 16


def measure(packets: Packets, windows: Windows) -> dict[str, Measured]:
    """probe.rtt_s, probe.rtt_variation_s and its share of pairs, probe.rtt_pdv_s, RFC 3550's smoothed estimate,
    probe.loss_ratio and probe.late_ratio of each window; a probe belongs to the window in which it was sent."""
    found: dict[str, Measured] = {}
    for name in WINDOWS:
        span = windows.span(name)
        if span is None or not inside(packets.sent_ns, span).any():
            why = f"the trial has no window {name}" if span is None else f"no echo probes in {name}"
            found |= {key: missing(unit, SOURCE, why) for key, unit in _keys(name).items()}
        else:
            found |= _window(packets, span, name)
    return found


def _keys(name: str) -> dict[str, str]:
    keys = {f"probe.rtt_s.{name}.{p}": "s" for p in PERCENTILES}
    keys |= {f"probe.rtt_variation_s.{name}.{p}": "s" for p in ("p50", "p95")}
    keys[f"probe.rtt_variation_pairs_ratio.{name}"] = "ratio"
    keys[f"probe.rtt_pdv_s.{name}.p95"] = "s"
    keys[f"probe.rtt_smoothed_jitter_s.{name}.max"] = "s"
    return keys | {f"probe.loss_ratio.{name}": "ratio", f"probe.late_ratio.{name}": "ratio"}


def _window(packets: Packets, span: Span, name: str) -> dict[str, Measured]:
    chosen = inside(packets.sent_ns, span)
    rtt = packets.rtt_ns[chosen]
    answered = rtt[rtt >= 0]
    lost = int(packets.lost[chosen].sum())
    infinite = lost if (packets.rtt_ns >= 0).any() else 0
    found: dict[str, Measured] = {}
    for p, rank in PERCENTILES.items():
        found[f"probe.rtt_s.{name}.{p}"] = percentile(answered, rank, f"no reply in {name}", infinite)
    change = variation(rtt)
    for p in ("p50", "p95"):
        why = f"no two successive replies in {name}"
        found[f"probe.rtt_variation_s.{name}.{p}"] = percentile(np.abs(change), PERCENTILES[p], why)
    above = answered - (answered.min() if len(answered) else 0)
    found[f"probe.rtt_pdv_s.{name}.p95"] = percentile(above, PERCENTILES["p95"], f"no reply in {name}")
    found[f"probe.rtt_variation_pairs_ratio.{name}"] = _share(len(change), len(rtt) - 1, f"one echo probe in {name}")
    key = f"probe.rtt_smoothed_jitter_s.{name}.max"
    if len(change):
        found[key] = Measured(float(smoothed(change).max()) / NS, "s", SOURCE, samples=len(change))
    else:
        found[key] = missing("s", SOURCE, f"no two successive replies in {name}")
    settled = lost + len(answered)
    for key, count in {
        f"probe.loss_ratio.{name}": lost,
        f"probe.late_ratio.{name}": int((answered > LATE_NS).sum()),
    }.items():
        found[key] = _share(count, settled, f"recording ended within Tmax of every probe in {name}")
    return found


def _share(count: int, of: int, why: str) -> Measured:
    return Measured(count / of, "ratio", SOURCE, samples=of) if of > 0 else missing("ratio", SOURCE, why)


def percentile(values: Ints, rank: float, why: str, lost: int = 0, source: str = SOURCE) -> Measured:
    """The percentile of values, ns, and of so many lost ones, which rank as infinite: one that falls on a lost one, or
    between it and another, is at least Tmax (RFC 2681, RFC 7680). why: the reason where there are none."""
    n = len(values) + lost
    if not n:
        return missing("s", source, why)
    if rank / 100 * (n - 1) > len(values) - 1:
        return Measured(TMAX_NS / NS, "s", source, samples=n, at_least=True)
    ordered = np.concatenate((np.asarray(values, dtype=np.float64), np.full(lost, float(TMAX_NS))))
    return Measured(at_rank(ordered, rank) / NS, "s", source, samples=n)


def variation(rtt_ns: Ints) -> Ints:
    """Signed differences of successive round trips, ns; a pair with a lost member (-1) is undefined and left out."""
    pairs = (rtt_ns[1:] >= 0) & (rtt_ns[:-1] >= 0)
    return np.diff(rtt_ns)[pairs]


def smoothed(change_ns: Ints) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """RFC 3550's running jitter estimate J += (|D| - J) / 16, here of round trips, ns, after each difference."""
    from_zero = pl.Series(np.abs(change_ns), dtype=pl.Float64).extend_constant(0.0, 1).shift(1, fill_value=0.0)
    return from_zero.ewm_mean(alpha=RFC3550_GAIN, adjust=False).to_numpy()[1:]
