"""What was cut off is at least what was seen: an outage that does not end never reads as a good number."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from faketrial import SCRIPT, record
from hypothesis import given, settings
from hypothesis import strategies as st
from players import lateness, viewer

from migrascope.metrics import echo, network
from migrascope.metrics.fleet import Instance, over
from migrascope.metrics.http import Visits, blackout
from migrascope.metrics.packets import TMAX_NS, Packets
from migrascope.metrics.trial import measure
from migrascope.metrics.windows import Windows, recovery, windows_of
from migrascope.model.measured import Measured, missing
from migrascope.store.recording import Recording

MS = 1_000_000
SECOND = 1000 * MS
INTERVAL = 2 * MS
RTT = 5 * MS


def changed(recording: Recording, silent_ns: int, *, without: str = '"recovered"') -> Recording:
    """The recording with nothing that came from a moment on (mono ns), and without an event."""
    for table, stamp in (("echo_reply", "recv_ns"), ("arrival", "mono_ns")):
        recording.table(table).filter(pl.col(stamp) < silent_ns).write_parquet(recording.folder / f"{table}.parquet")
    late = pl.col("done_ns") >= silent_ns
    recording.table("visit").with_columns(
        done_ns=pl.when(late).then(0).otherwise(pl.col("done_ns")),
        error=pl.when(late).then(pl.lit("no answer within 10 s")).otherwise(pl.col("error")),
    ).write_parquet(recording.folder / "visit.parquet")
    path = recording.folder / "events.ndjson"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if without not in line))
    return Recording(recording.folder)


def at_least(found: dict[str, Measured], key: str, seconds: float) -> None:
    measured = found[key]
    assert measured.at_least, (key, measured)
    assert measured.value is not None
    assert measured.value >= seconds, (key, measured)


def test_a_source_that_is_killed_is_an_outage_without_end(tmp_path: Path) -> None:
    """4.2 s were watched after STOP."""
    found = measure(record(tmp_path, failure="source-killed"))
    for key in ("network_outage_total_s", "network_lost_time_s", "network_blackout_s"):
        at_least(found, key, 4.1)
    assert found["network_outages"].value == 1


def test_so_is_one_that_is_killed_in_pre_copy(tmp_path: Path) -> None:
    recording = record(tmp_path, failure="destination-died")
    failed = windows_of(recording).failed
    assert failed is not None
    found = measure(changed(recording, failed - 200 * MS))
    for key in ("network_outage_total_s", "network_lost_time_s", "network_blackout_s"):
        at_least(found, key, 3.0)


def test_without_a_stop_replies_that_stay_away_are_a_blackout(tmp_path: Path) -> None:
    recording = record(tmp_path, drop=("qmp_event",))
    request = windows_of(recording).request
    assert request is not None
    found = measure(changed(recording, request + 500 * MS))
    for key in ("network_outage_total_s", "network_lost_time_s", "network_blackout_s", "network_blackout_low_s"):
        at_least(found, key, 3.0)
    assert (found["probe.loss_ratio.switchover"].value or 0) > 0.7


def test_a_reply_in_flight_at_stop_does_not_end_the_blackout(tmp_path: Path) -> None:
    found = measure(record(tmp_path, failure="source-killed", quiet_rtt_s=0.005))
    at_least(found, "network_blackout_s", 4.1)


def test_a_service_that_never_recovers_from_a_migration_that_completed(tmp_path: Path) -> None:
    recording = record(tmp_path)
    stop = windows_of(recording).stop
    assert stop is not None
    silent = changed(recording, stop)
    windows, found = windows_of(silent), measure(silent)
    assert windows.during is not None
    assert (windows.cut_off, windows.recovered, windows.after) == (True, None, None)
    assert windows.complete is not None
    assert windows.during[1] - windows.complete > 3 * SECOND
    for key in ("network_outage_total_s", "network_lost_time_s", "network_blackout_s", "budget.until_reply_s",
                "http_new_blackout_s", "http_kept_blackout_s", "visitor.lost_s.during", "player_stall_s"):  # fmt: skip
        at_least(found, key, 2.0)


def test_a_guest_that_dies_after_resume_has_no_short_blackout(tmp_path: Path) -> None:
    recording = record(tmp_path)
    resume = windows_of(recording).resume
    assert resume is not None
    at_least(measure(changed(recording, resume + 200 * MS)), "network_blackout_s", 3.0)


def test_a_failed_visit_is_the_worst_one(tmp_path: Path) -> None:
    found = measure(record(tmp_path, failure="source-killed"))
    for kind in ("new", "kept"):
        at_least(found, f"http_{kind}_worst_s", 3.0)
    whole = measure(record(tmp_path / "whole"))
    assert not whole["http_new_worst_s"].at_least


def test_an_instance_of_a_fleet_that_never_answers_again(tmp_path: Path) -> None:
    sent = [at * INTERVAL for at in range(5000)]
    packets = Packets.match(range(5000), sent, range(2500), [at + RTT for at in sent[:2500]], sent[-1] + TMAX_NS)
    span = Windows((0, 4 * SECOND), (4 * SECOND, 9 * SECOND), None, None, 4 * SECOND, None, None, None, None, None, 0)
    black = network.measure(packets, span)["network_blackout_s"]
    assert black.at_least
    assert black.value == pytest.approx(5.0, abs=0.01)
    instance = Instance("vm-1", 0, 1, 2, 0, 0, None, black)
    assert instance.figures()["blackout_s"].at_least


def test_totals_over_a_fleet_hold_what_was_cut_off() -> None:
    figures = [Measured(value, "s", "fleet") for value in (0.1, 0.2, 0.3)]
    never = [*figures, Measured(4.0, "s", "fleet", at_least=True), missing("s", "fleet", "no probe")]
    median, most = over(never, "median", "blackout_s"), over(never, "max", "blackout_s")
    assert (median.value, median.at_least, median.samples) == (0.25, False, 4)
    assert (most.value, most.at_least) == (4.0, True)
    assert over(never, "sum", "blackout_s").at_least
    assert not over(figures, "sum", "blackout_s").at_least


def outage(begin: int, length: int | None, *, late: bool) -> dict[str, Measured]:
    """The echo metrics of 10 s of probes with a silence: those sent in it are lost, or come when it ends."""
    seq = np.arange(5000)
    sent = seq * INTERVAL
    end = begin + length if length is not None else 1 << 60
    there = sent + RTT // 2
    silent = (begin <= there) & (there < end)
    came = np.where(silent, end + RTT // 2, sent + RTT)
    heard = ~silent | (late and length is not None)
    last = int(sent[-1])
    packets = Packets.match(seq, sent, seq[heard], came[heard], last + TMAX_NS)
    resume, request = begin + 50 * MS, 3 * SECOND
    back = recovery(packets, resume)
    during = (request, back if back is not None else last)
    windows = Windows((0, request), during, (begin - SECOND, begin + 4 * SECOND), None, request, begin, resume, resume,
                      back, None, packets.end_ns, cut_off=back is None)  # fmt: skip
    return network.measure(packets, windows) | echo.measure(packets, windows)


LENGTHENED = [
    "network_outage_total_s", "network_blackout_s", "network_blackout_low_s", "network_blackout_high_s",
    "network_lost_time_s", "probe.loss_ratio.switchover", "probe.rtt_s.switchover.p50", "probe.rtt_s.switchover.p95",
    "probe.rtt_s.switchover.p99", "probe.rtt_s.switchover.max",
]  # fmt: skip
# Those that end do so while probes are still sent: without an end no more is known than the last probe tells.
ended = st.integers(20 * MS, 5900 * MS)


@settings(max_examples=60, deadline=None)
@given(st.integers(3500 * MS, 4000 * MS), ended, st.one_of(st.none(), ended), st.booleans())
def test_a_longer_outage_is_never_better_for_probes(begin: int, short: int, longer: int | None, late: bool) -> None:
    if longer is not None:
        short, longer = sorted((short, longer))
    row, other = outage(begin, short, late=late), outage(begin, longer, late=late)
    for key in LENGTHENED:
        worse, better = other[key].value, row[key].value
        assert worse is not None, key
        assert better is not None, key
        assert worse >= better - 1e-9, key
        assert other[key].at_least >= (longer is None and key.startswith("network_")), key


@settings(max_examples=60, deadline=None)
@given(
    st.integers(2 * SECOND, 3 * SECOND), st.integers(0, 5 * SECOND), st.one_of(st.none(), st.integers(0, 5 * SECOND))
)
def test_nor_for_visits(begin: int, short: int, longer: int | None) -> None:
    """Visits every 20 ms for 10 s, done when the outage is over; without an end they fail."""
    if longer is not None:
        short, longer = sorted((short, longer))

    def seen(length: int | None) -> tuple[float, float]:
        due = np.arange(500, dtype=np.int64) * 20 * MS
        out = (due >= begin) & (due < begin + length if length is not None else True)
        done = np.where(out, 0 if length is None else begin + length, due) + 5 * MS
        failed = out if length is None else np.zeros(500, dtype=np.bool_)
        visits = Visits(due, np.where(failed, 0, done), failed, np.zeros_like(failed))
        found = blackout(visits, 100 * MS, (begin - SECOND, begin + 4 * SECOND))
        assert found.worst_s is not None
        assert found.ended == (length is not None)
        return found.seconds, found.worst_s

    for worse, better in zip(seen(longer), seen(short), strict=True):
        assert worse >= better - 1e-9


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 5 * SECOND), st.one_of(st.none(), st.integers(0, 5 * SECOND)))
def test_nor_for_players(short: int, longer: int | None) -> None:
    if longer is not None:
        short, longer = sorted((short, longer))
    never = viewer({}, never=frozenset(range(12, 20)))
    worse = lateness(never if longer is None else viewer({12: longer}))
    assert worse.worst_s >= lateness(viewer({12: short})).worst_s - 1e-9
    assert worse.ended == (longer is not None)


@pytest.mark.parametrize("rtt_ms", [1, 10, 50])
def test_the_quiet_round_trip_belongs_in_a_blackout_whose_probes_were_lost(rtt_ms: int) -> None:
    """Both ways are cut in the middle: the blackout is the cut's length at whatever round trip."""
    errors = []
    for seed in range(100):
        begin = 3500 * MS + seed * 37_129
        seq = np.arange(3000)
        sent = seq * INTERVAL
        middle = sent + rtt_ms * MS // 2
        heard = (middle < begin) | (middle >= begin + 200 * MS)
        packets = Packets.match(seq, sent, seq[heard], sent[heard] + rtt_ms * MS, int(sent[-1]) + TMAX_NS)
        gap = network.blackout(packets, (begin, begin + 200 * MS))
        assert gap is not None
        assert not gap.late
        errors.append(gap.blackout_s - 0.2)
    assert abs(float(np.mean(errors))) < 0.0003


def test_a_value_that_was_not_measured_is_no_lower_bound() -> None:
    with pytest.raises(ValueError, match="lower bound"):
        Measured(None, "s", "echo", "no reply", at_least=True)
    assert missing("s", "echo", "no reply").censored() == missing("s", "echo", "no reply")
    assert Measured(1.0, "s", "echo", at_least=True).as_json()["at_least"] is True
    assert "at_least" not in Measured(SCRIPT.gap_s, "s", "echo").as_json()
