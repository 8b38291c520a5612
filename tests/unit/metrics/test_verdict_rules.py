"""The checker: a true history is intact, and each thing that we plant in it is seen for what it is."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from truehistory import ARRIVALS, END, EXAMINED, PASSED, REQUEST, TICK, TIMES, TRUE, chain, of, sent, span

from migrascope.lab.contract import panic_in
from migrascope.metrics.verdict import judge as judging
from migrascope.metrics.verdict.disturbed import Disturbed
from migrascope.metrics.verdict.judge import judge
from migrascope.metrics.verdict.service import Visit, volume, website
from migrascope.metrics.verdict.spans import NS, Times, ranges
from migrascope.model.postcheck import PostCheck
from migrascope.model.verdict import VERDICTS


def test_a_true_history_is_intact() -> None:
    verdict = judge(TRUE)
    assert (verdict.verdict, verdict.text) == ("intact", "no witness saw a loss")
    assert {statement.verdict for statement in verdict.statements} == {"intact"}


@pytest.mark.parametrize(
    "missing",
    [
        {"arrivals": []},
        {"content": None},
        {"answers": []},
        {"samples": {}},
        {"frames": []},
        {"visits": []},
        {"examined": None},
        {"examined": {"error": "qemu-img failed"}},
        {"examined": {**EXAMINED, "expected": {}}},
        *({"proof": {name: check for name, check in PASSED.items() if name != left}} for left in list(PASSED)[1:]),
        {"arrivals": ARRIVALS[:60]},
        {"answers": chain(60)},
        {"samples": {host: rows[:60] for host, rows in TRUE.samples.items()}},
        {"frames": sent(0, 6 * NS, "host-a")},
        {"times": Times(None, None)},
        {"times": Times(REQUEST, None)},
    ],
)
def test_a_missing_witness_is_unknown_and_named(missing: dict[str, Any]) -> None:
    verdict = judge(replace(TRUE, **missing))
    assert verdict.verdict == "unknown", verdict
    unheard = [statement.witness for statement in verdict.statements if statement.verdict == "unknown"]
    assert unheard
    assert all(name in verdict.text for name in unheard)


def test_what_is_known_counts_whatever_else_is_not() -> None:
    verdict = judge(replace(TRUE, answers=chain(60) + chain(60, 60, "other"), frames=[]))
    assert verdict.verdict == "guest lost"
    assert "not known: frames" in verdict.text


def test_without_a_request_nothing_is_a_migrations_loss() -> None:
    """The machine was too busy to be heard, and nothing was migrated."""
    silent = replace(TRUE, times=Times(None, None), visits=[Visit(at * NS, 0) for at in range(8)])
    verdict = judge(silent)
    assert verdict.verdict == "unknown"
    assert verdict.text.startswith("no migration was asked for; website: no answer for the last")
    killed = Disturbed("kill", "trial", NS, NS, 0, "")
    assert judge(replace(silent, disturbance="kill", disturbed=[killed])).verdict == "service lost"


def test_verdicts_have_an_order() -> None:
    assert [VERDICTS.index(value) for value in ("intact", "unknown", "service lost")] == [0, 1, 2]
    assert VERDICTS[-1] == "two copies"


def test_running_on_both_hosts_is_two_copies() -> None:
    samples = {**TRUE.samples, "host-a": span(0, 8 * NS) + span(8 * NS, END, "paused")}
    statement = of("two copies", replace(TRUE, samples=samples))
    assert statement.from_s == pytest.approx(1.0, abs=0.2)
    assert statement.until_s == pytest.approx(3.0, abs=0.2)


def test_frames_from_both_hosts_are_two_copies() -> None:
    statement = of("two copies", replace(TRUE, frames=sent(0, 8 * NS, "host-a") + sent(6 * NS, END, "host-b")))
    assert statement.from_s == pytest.approx(1.0, abs=0.2)
    assert statement.until_s == pytest.approx(3.0, abs=0.2)


def test_frames_of_both_in_one_stretch_are_a_switchover() -> None:
    frames = sent(0, 6 * NS, "host-a") + sent(6 * NS - TICK // 2, END, "host-b")
    assert judge(replace(TRUE, frames=frames)).verdict == "intact"


# --- guest and service
def test_another_boot_is_guest_lost() -> None:
    statement = of("guest lost", replace(TRUE, answers=chain(65) + chain(55, 65, "other")))
    assert "restarted" in statement.text
    assert statement.from_s == pytest.approx(1.5, abs=0.01)


def test_running_nowhere_is_guest_lost() -> None:
    dead = {**TRUE.samples, "host-b": span(0, 6 * NS, "inmigrate") + span(6 * NS, 9 * NS) + span(9 * NS, END, "")}
    statement = of("guest lost", replace(TRUE, samples=dead))
    assert "host-a: postmigrate, host-b: no answer" in statement.text


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("panic", "guest lost"),
        ("heartbeat", "guest lost"),
        ("incarnation", "guest lost"),
        ("memory", "data lost"),
        ("site", "data lost"),
    ],
)
def test_what_the_trial_proved(name: str, verdict: str) -> None:
    failed = {**PASSED, name: PostCheck("fail", "Kernel panic")}
    assert of(verdict, replace(TRUE, proof=failed)).text == "Kernel panic"


def test_a_broken_file_system_and_changed_files_are_data_lost() -> None:
    broken = volume({**EXAMINED, "fsck": {"code": 4, "text": "a\nb\nInode 12 is odd"}})
    assert [statement.verdict for statement in broken] == ["data lost", "intact"]
    assert "Inode 12 is odd" in broken[0].text
    changed = volume({**EXAMINED, "site": {"/a": "2"}})
    assert [statement.verdict for statement in changed] == ["intact", "data lost"]
    assert "/a" in changed[1].text


@given(st.integers(0, 80), st.integers(31, 39))
def test_a_long_silence_is_service_lost(start: int, ticks: int) -> None:
    visits = [
        visit._replace(answered_ns=0) if start < at < start + ticks else visit for at, visit in enumerate(TRUE.visits)
    ]
    statement = of("service lost", replace(TRUE, visits=visits))
    assert f"recovered after {ticks / 10:.1f} s" in statement.text
    assert statement.until_s is not None
    assert statement.from_s is not None
    assert statement.until_s - statement.from_s == pytest.approx(ticks / 10, abs=0.01)


def test_a_service_that_does_not_come_back() -> None:
    visits = [visit if visit.due_ns < 8 * NS else visit._replace(answered_ns=0) for visit in TRUE.visits]
    assert "no answer for the last 4.0 s" in of("service lost", replace(TRUE, visits=visits)).text
    assert website([visit._replace(answered_ns=0) for visit in TRUE.visits], 3.0, TIMES).verdict == "service lost"


def test_a_short_silence_is_none() -> None:
    visits = [visit if not 55 < at < 80 else visit._replace(answered_ns=0) for at, visit in enumerate(TRUE.visits)]
    assert judge(replace(TRUE, visits=visits)).verdict == "intact"


# --- what is no loss
def test_one_visit_that_failed_and_one_that_came_late_make_no_outage() -> None:
    visits = list(TRUE.visits)
    visits[-2] = visits[-2]._replace(answered_ns=0)
    visits[-1] = visits[-1]._replace(answered_ns=visits[-1].answered_ns + 4 * NS)
    assert "of 2 visits alone" in of("unknown", replace(TRUE, visits=visits)).text


def test_one_unanswered_question_makes_nobody_lost() -> None:
    """The last poll of a healthy destination; without an answer for longer it is gone."""
    rows = list(TRUE.samples["host-b"])
    rows[-1] = rows[-1]._replace(answered_ns=0, status="")
    verdict = judge(replace(TRUE, samples={**TRUE.samples, "host-b": rows}))
    assert verdict.verdict == "unknown"
    assert "hypervisors" in verdict.text
    gone = [row if row.asked_ns < END - 2 * NS else row._replace(answered_ns=0, status="") for row in rows]
    assert judge(replace(TRUE, samples={**TRUE.samples, "host-b": gone})).verdict == "guest lost"


@pytest.mark.parametrize(
    ("line", "panics"),
    [
        ("watchdog: BUG: soft lockup - CPU#0 stuck for 23s! [nginx:412]", False),
        ("BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 31s!", False),
        ("BUG: kernel NULL pointer dereference, address: 0000000000000008", True),
        ("Kernel panic - not syncing: softlockup: hung tasks", True),
        ("Oops: 0000 [#1] PREEMPT SMP", True),
    ],
)
def test_a_processor_that_hangs_is_no_panic(line: str, panics: bool) -> None:
    assert (panic_in(f"[    1.0] booted\n[   66.6] {line}\n") is not None) == panics


@pytest.mark.parametrize("code", [8, 16, 32, 128, -9])
def test_a_check_that_did_not_work_is_unknown(code: int) -> None:
    statements = volume({**EXAMINED, "fsck": {"code": code, "text": "e2fsck: Cannot open the device"}})
    assert [statement.verdict for statement in statements] == ["unknown", "intact"]


@pytest.mark.parametrize("code", [1, 4, 12])
def test_errors_that_it_found_are_data_lost(code: int) -> None:
    assert volume({**EXAMINED, "fsck": {"code": code, "text": "Inode 12 is odd"}})[0].verdict == "data lost"


def test_a_volume_of_which_nothing_was_read_says_nothing() -> None:
    unread = replace(TRUE, examined={**EXAMINED, "site": {}}, content=b"")
    assert judge(unread).verdict == "unknown"
    assert judge(replace(unread, examined=EXAMINED)).verdict == "data lost"


# --- words
@given(st.sets(st.integers(0, 60), min_size=1))
def test_ranges_name_every_number_once(numbers: set[int]) -> None:
    named: list[int] = []
    for part in ranges(numbers).split(", "):
        first, _, last = part.partition("-")
        named += range(int(first), int(last or first) + 1)
    assert named == sorted(numbers)


def test_times_are_said_from_the_request() -> None:
    assert TIMES.said(6 * NS) == "1.00 s after the request"
    assert TIMES.said(4 * NS) == "1.00 s before the request"
    assert Times(None, None).said(1) == "at an unknown time"
    assert judging.judge(TRUE).as_json()["statements"][0]["verdict"] == "intact"
