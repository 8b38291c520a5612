"""The checker: a true history is intact, and each thing that we plant in it is seen for what it is."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrascope.lab.contract import panic_in
from migrascope.metrics.verdict import judge as judging
from migrascope.metrics.verdict.disturbed import Disturbed
from migrascope.metrics.verdict.hosts import Frames, State
from migrascope.metrics.verdict.judge import Evidence, judge
from migrascope.metrics.verdict.ledger import Arrival, collected, kept
from migrascope.metrics.verdict.liveness import Answer, alive
from migrascope.metrics.verdict.service import Visit, volume, website
from migrascope.metrics.verdict.spans import NS, Times, ranges
from migrascope.model.postcheck import PostCheck
from migrascope.model.verdict import VERDICTS, Statement
from migrascope.model.witness import RECORD_BYTES, chained, record_line

TICK = NS // 10
REQUEST, OVER, END = 5 * NS, 7 * NS, 12 * NS
TIMES = Times(REQUEST, OVER)
BOOT = "b" * 32
CHECKS = ("place", "incarnation", "panic", "heartbeat", "memory", "site")
PASSED = {name: PostCheck("pass", "seen") for name in CHECKS}
EXAMINED: dict[str, Any] = {"fsck": {"code": 0, "text": "clean"}, "site": {"/a": "1"}, "expected": {"/a": "1"}}


def chain(count: int, start: int = 0, boot: str = "boot", ids: str = "", after: str = "00000000") -> list[Answer]:
    """Answers of one guest, one every tick, from counter start + 1 on."""
    answers = []
    for at in range(start, start + count):
        request = f"{ids}{at}"
        after = chained(after, request)
        answers.append(Answer(at * TICK, at * TICK + 1000, request, boot, at + 1, after))
    return answers


def book(count: int, start: int = 0, receipt: int = 0, given: int = 1, boot: str = BOOT) -> list[Arrival]:
    """Arrivals of one guest's records, one every tick, from number start + 1 on."""
    arrivals = []
    for at in range(start, start + count):
        arrivals.append(Arrival(at * TICK, at + 1, boot, receipt, given))
        receipt, given = given, given + 1
    return arrivals


def file_of(arrivals: list[Arrival]) -> bytes:
    return b"".join(record_line(*arrival.record) for arrival in arrivals) + bytes(5 * RECORD_BYTES)


def span(start: int, end: int, status: str = "running") -> list[State]:
    return [State(at, at + 1000, status) for at in range(start, end, TICK)]


def sent(start: int, end: int, node: str) -> list[Frames]:
    return [Frames(at, at + TICK // 2, node, 7) for at in range(start, end, TICK // 2)]


ARRIVALS = book(120)
TRUE = Evidence(
    times=TIMES,
    outage_s=3.0,
    arrivals=ARRIVALS,
    content=file_of(ARRIVALS),
    answers=chain(120),
    samples={
        "host-a": span(0, 6 * NS) + span(6 * NS, END, "postmigrate"),
        "host-b": span(0, 6 * NS, "inmigrate") + span(6 * NS, END),
    },
    changes={"host-a": [6 * NS - TICK // 2], "host-b": [6 * NS - TICK // 2]},
    frames=sent(0, 6 * NS, "host-a") + sent(6 * NS, END, "host-b"),
    visits=[Visit(at, at + 1000) for at in range(0, END, TICK)],
    proof=PASSED,
    examined=EXAMINED,
)


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


def of(verdict: str, evidence: Evidence) -> Statement:
    """The only statement that is not intact; its verdict is the trial's."""
    judgement = judge(evidence)
    (statement,) = [said for said in judgement.statements if said.verdict != "intact"]
    assert judgement.verdict == statement.verdict == verdict
    return statement


# --- the ledger on the volume


@given(st.sets(st.integers(0, 119), min_size=1, max_size=119))
def test_dropped_records_are_data_lost_and_named(dropped: set[int]) -> None:
    left = [arrival for at, arrival in enumerate(ARRIVALS) if at not in dropped]
    statement = of("data lost", replace(TRUE, content=file_of(left)))
    assert (
        f"{len(dropped)} acknowledged records are not on the volume: {ranges(at + 1 for at in dropped)}"
        in statement.text
    )


@given(st.integers(0, 119), st.integers(0, 119))
def test_a_replayed_record_is_data_lost(again: int, place: int) -> None:
    lines = [*ARRIVALS[:place], ARRIVALS[again], *ARRIVALS[place:]]
    assert f"twice: {again + 1}" in of("data lost", replace(TRUE, content=file_of(lines))).text


@given(st.integers(0, 118))
def test_records_in_another_order_are_data_lost(at: int) -> None:
    lines = [*ARRIVALS[:at], ARRIVALS[at + 1], ARRIVALS[at], *ARRIVALS[at + 2 :]]
    assert f"out of order: {at + 1}" in of("data lost", replace(TRUE, content=file_of(lines))).text


@given(st.integers(0, 120 * RECORD_BYTES - 1), st.integers(1, 255))
def test_a_changed_byte_is_data_lost(at: int, by: int) -> None:
    content = bytearray(file_of(ARRIVALS))
    content[at] ^= by
    statement = of("data lost", replace(TRUE, content=bytes(content)))
    assert f"not on the volume: {at // RECORD_BYTES + 1}" in statement.text


def test_a_block_of_zeros_is_data_lost() -> None:
    content = bytearray(file_of(ARRIVALS))
    content[64 * 64 : 64 * 68] = bytes(64 * 4)
    assert "not on the volume: 65-68" in of("data lost", replace(TRUE, content=bytes(content))).text


def test_records_that_nobody_was_told_of_are_no_fault() -> None:
    assert kept(ARRIVALS, file_of(book(121))).verdict == "intact"
    assert kept(ARRIVALS, file_of(book(122))).verdict == "unknown", "it needs a receipt that nobody gave"
    assert kept(ARRIVALS, b"").verdict == "data lost"


@given(st.data())
def test_records_that_come_again_are_no_fault(data: st.DataObject) -> None:
    arrivals: list[Arrival] = []
    receipt, given_so_far = 0, 0
    for number in range(1, 40):
        receipts = []
        for _ in range(data.draw(st.integers(1, 3))):
            given_so_far += 1
            receipts.append(given_so_far)
            arrivals.append(Arrival(given_so_far * 3 * TICK, number, BOOT, receipt, given_so_far))
        receipt = data.draw(st.sampled_from(receipts))
    assert collected(arrivals, TIMES).verdict == "intact"
    assert kept(arrivals, file_of([*{a.record: a for a in arrivals}.values()])).verdict == "intact"


# --- two copies


@given(st.integers(2, 60), st.integers(2, 50))
def test_two_ledgers_from_one_are_two_copies(fork: int, both: int) -> None:
    """After `fork` records there are two writers; each gets receipts of its own."""
    common, last, told = book(fork), fork, fork + 1
    receipts = {"one": fork, "two": fork}
    forked: list[Arrival] = []
    for at in range(both):
        for writer in receipts:
            forked.append(Arrival((last + at) * TICK, last + at + 1, BOOT, receipts[writer], told))
            receipts[writer] = told
            told += 1
    seen = collected([*common, *forked], TIMES)
    assert seen.verdict == "two copies"
    assert "came with two contents" in seen.text
    assert seen.from_s == pytest.approx((fork + 1) / 10 - 5)


@given(st.integers(10, 100), st.integers(2, 8))
def test_a_ledger_that_goes_back_is_two_copies(at: int, by: int) -> None:
    older = book(5, at - by, receipt=at - by, given=500)
    assert collected([*book(at), *older], TIMES).verdict == "two copies"


@given(st.integers(1, 100), st.booleans())
def test_a_forked_counter_is_two_copies(fork: int, ids: bool) -> None:
    common = chain(fork)
    other = chain(10, fork, ids="x" if ids else "y", after=common[-1].hash)
    statement = of("two copies", replace(TRUE, answers=[*chain(120), *other]))
    assert f"counter {fork + 1} was given to two requests" in statement.text
    assert statement.from_s == pytest.approx(fork / 10 - 5, abs=0.001)


@given(st.integers(3, 110), st.integers(1, 9))
def test_a_counter_that_goes_back_is_two_copies(at: int, by: int) -> None:
    answers = chain(at)
    back = answers[-1]._replace(
        asked_ns=at * TICK, answered_ns=at * TICK + 9, request="q", counter=max(0, at - 1 - by), hash="0"
    )
    assert alive([*answers, back], TIMES).verdict == "two copies"


def test_a_hash_that_does_not_follow_is_two_copies() -> None:
    """Each counter is answered once, but by two guests in turn."""
    row, other = chain(120), chain(120, ids="x")
    mixed = [answer if at < 60 else other[at] for at, answer in enumerate(row)]
    assert "does not follow" in of("two copies", replace(TRUE, answers=mixed)).text


def test_answers_in_another_order_and_lost_ones_are_no_fault() -> None:
    answers = [a._replace(answered_ns=a.answered_ns + (3 * TICK if a.counter % 7 == 0 else 0)) for a in chain(120)]
    kept_some = [answer for answer in answers if answer.counter % 5]
    assert alive(kept_some, TIMES).verdict == "intact"


def test_two_boots_in_turn_are_two_copies() -> None:
    answers = sorted([*chain(120)[::2], *chain(60, 60, "other")[1::2]])
    assert "answered again" in of("two copies", replace(TRUE, answers=answers)).text


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


@given(st.integers(0, 100), st.integers(1, 19))
def test_a_record_that_the_network_held_back_is_no_second_copy(at: int, later: int) -> None:
    held = ARRIVALS[at]._replace(recv_ns=ARRIVALS[at + later].recv_ns + 1000, given=9000)
    assert collected(sorted([*ARRIVALS, held]), TIMES).verdict == "intact"


@given(st.integers(1, RECORD_BYTES - 1))
def test_a_torn_tail_that_nobody_was_told_of_is_no_loss(length: int) -> None:
    whole = b"".join(record_line(*arrival.record) for arrival in ARRIVALS)
    assert kept(ARRIVALS, whole + record_line(121, BOOT, 120)[:length]).verdict == "intact"
    assert kept(ARRIVALS, whole[:-length]).verdict == "data lost"


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
