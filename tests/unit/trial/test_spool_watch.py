"""What a trial waits for before it begins."""

import time
from pathlib import Path
from typing import Any

import pytest

from migrascope.model.clock import mono_ns
from migrascope.model.steady import NS
from migrascope.store.spool import Spool
from migrascope.trial import spool_watch
from migrascope.trial.spool_watch import EchoWatch, LedgerWatch, ViewerWatch, VisitWatch

MS = NS // 1000


def spool(folder: Path, table: str, source: str) -> Spool:
    return Spool(folder, table, source=source, host="client", instance="vm-1", migration="m", flush_s=0.0)


def write(folder: Path, table: str, source: str, rows: list[tuple[Any, ...]]) -> None:
    with spool(folder, table, source) as item:
        item.add_all(rows)


def visit(kind: str, seq: int, due: int, took: int, error: str = "") -> tuple[Any, ...]:
    done = 0 if error else due + took
    return kind, seq, due, due, due, done, done, 200, 100, 1, error


def test_a_ledger_is_waited_for_until_its_first_record(tmp_path: Path) -> None:
    watch = LedgerWatch(tmp_path)
    assert watch.unsteady(0, 1) == "no record yet"
    with spool(tmp_path, "ledger", "collector") as records:
        records.add(5, 1, "boot", 0, 1)
        records.flush()
        assert watch.unsteady(0, 1) is None
        assert watch.unsteady(0, 1) is None


def test_a_ledger_that_nobody_hears_is_not_waited_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_watch, "_LEDGER_NS", 0)
    assert LedgerWatch(tmp_path).unsteady(0, 1) is None


def test_probes_are_steady_when_nearly_all_were_sent_and_answered(tmp_path: Path) -> None:
    sent = [(seq, seq * 2 * MS, seq * 2 * MS) for seq in range(1000)]
    write(tmp_path, "echo_sent", "echo", sent)
    write(tmp_path, "echo_reply", "echo", [(seq, due, due) for seq, due, _ in sent if not 100 <= seq < 108])
    watch = EchoWatch(tmp_path, 500)
    assert watch.unsteady(0, 2 * NS) is None
    assert watch.unsteady(0, 400 * MS) == "96 % of probes answered"
    assert watch.unsteady(0, 4 * NS) == "1000 of 2000 probes sent"


def test_visits_of_both_kinds_must_be_steady_all_through_the_window(tmp_path: Path) -> None:
    now = mono_ns()
    rows = [visit("new", at, now - 4 * NS + at * 100 * MS, 5 * MS) for at in range(40)]
    rows += [visit("kept", at, now - 4 * NS + at * 100 * MS, 5 * MS if at > 5 else 500 * MS) for at in range(40)]
    write(tmp_path, "visit", "visitors", rows)
    watch = VisitWatch(tmp_path, {"new": 10.0, "kept": 10.0})
    assert watch.unsteady(now - 3 * NS, now) is None
    assert watch.unsteady(now - 4 * NS, now) == "85 % of visits in time (kept)"
    assert watch.overload() is None


def test_a_guest_that_answers_fewer_than_come_is_overloaded(tmp_path: Path) -> None:
    now = mono_ns()
    rows = [visit("new", at, now - 9 * NS + at * 100 * MS, 2 * NS) for at in range(60)]
    rows += [visit("new", 100 + at, now - 9 * NS + at * 20 * MS, 0, "too many under way") for at in range(400)]
    write(tmp_path, "visit", "visitors", rows)
    said = VisitWatch(tmp_path, {"new": 60.0, "kept": 0.0}).overload()
    assert said is not None
    assert said.startswith("this machine serves ")
    assert said.endswith(" visits/s, the plan asks for 60")


def test_a_guest_that_begins_late_is_not_given_up_at_once(tmp_path: Path) -> None:
    now = mono_ns()
    write(tmp_path, "visit", "visitors", [visit("new", at, now - 3 * NS + at * 100 * MS, 0, "no") for at in range(25)])
    assert VisitWatch(tmp_path, {"new": 10.0}).overload() is None


def test_a_viewer_is_steady_when_media_come_and_none_failed(tmp_path: Path) -> None:
    watch = ViewerWatch(tmp_path, "viewer-1")
    assert watch.unsteady(NS, 4 * NS) == "waits for media"
    rows = [(at, 2.0 * at, 2.0, at * 900 * MS, at * 900 * MS + 50 * MS, 1000, 200, "") for at in range(5)]
    write(tmp_path, "segment", "viewer-1", [*rows, (5, 10.0, 2.0, 5 * NS, 0, 0, 404, "status 404")])
    assert watch.unsteady(NS, 4 * NS) is None
    assert watch.unsteady(3 * NS, 6 * NS) == "media failed: status 404"


def outage_of(folder: Path, delays_ms: dict[int, int | None], since: int = 0) -> tuple[int | None, int]:
    """What 100 probes over the last second show whose answers take 1 ms but for those given (None: lost), and the first
    probe's stamp."""
    begun = mono_ns() - 2 * NS
    offset = time.time_ns() - mono_ns()
    sent = [(seq, begun + seq * 10 * MS, begun + seq * 10 * MS) for seq in range(100)]
    took = {seq: delays_ms.get(seq, 1) for seq, _, _ in sent}
    write(folder, "echo_sent", "echo", sent)
    write(
        folder,
        "echo_reply",
        "echo",
        [(seq, offset + at + ms * MS, at + ms * MS) for seq, at, _ in sent if (ms := took[seq]) is not None],
    )
    return EchoWatch(folder, 100).last_outage(begun + since * 10 * MS), begun


def test_a_quiet_minute_has_no_outage(tmp_path: Path) -> None:
    assert outage_of(tmp_path, {})[0] is None


def test_one_lost_probe_is_no_outage(tmp_path: Path) -> None:
    assert outage_of(tmp_path, {50: None})[0] is None


def test_lost_probes_are_an_outage_up_to_the_last_of_them(tmp_path: Path) -> None:
    last, begun = outage_of(tmp_path, {50: None, 51: None, 52: None})
    assert last == begun + 520 * MS


def test_probes_that_were_held_back_are_an_outage_up_to_their_answer(tmp_path: Path) -> None:
    last, begun = outage_of(tmp_path, {50: 300, 51: 290, 52: 280})
    assert last is not None
    assert abs(last - (begun + 800 * MS)) < 5 * MS


def test_what_was_before_the_request_is_no_outage_of_it(tmp_path: Path) -> None:
    assert outage_of(tmp_path, {50: None, 51: None}, since=60)[0] is None


@pytest.mark.parametrize("rate", [1, 3, 5, 10, 50])
@pytest.mark.parametrize("phase", [0.0, 0.3, 0.6, 0.9])
def test_a_service_recovers_at_every_rate_of_probes_wherever_in_their_grid_it_was_asked(
    tmp_path: Path, rate: int, phase: float
) -> None:
    begin, interval = mono_ns() - 5 * NS, NS // rate
    sent = [(seq, begin + seq * interval, begin + seq * interval) for seq in range(4 * rate)]
    write(tmp_path, "echo_sent", "echo", sent)
    write(tmp_path, "echo_reply", "echo", [(seq, due, due) for seq, due, _ in sent])
    since = begin + round(phase * interval)
    assert EchoWatch(tmp_path, rate).recovered(since) == since


@pytest.mark.parametrize("rate", [1, 5, 50])
def test_and_not_while_probes_are_lost(tmp_path: Path, rate: int) -> None:
    begin, interval = mono_ns() - 5 * NS, NS // rate
    write(tmp_path, "echo_sent", "echo", [(seq, *2 * (begin + seq * interval,)) for seq in range(5 * rate)])
    write(tmp_path, "echo_reply", "echo", [(0, begin, begin)])
    assert EchoWatch(tmp_path, rate).recovered(begin) is None
