"""Records of the ledger and answers that can only come of lost data, or of two guests."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from truehistory import ARRIVALS, BOOT, TICK, TIMES, TRUE, book, chain, file_of, of

from migrascope.metrics.verdict.ledger import Arrival, collected, kept
from migrascope.metrics.verdict.liveness import alive
from migrascope.metrics.verdict.spans import ranges
from migrascope.model.witness import RECORD_BYTES, record_line


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


@given(st.binary(min_size=39, max_size=39))
def test_records_that_come_again_are_no_fault(drawn: bytes) -> None:
    """Each byte says how often a record comes, and the receipt of which of these is written into the next."""
    arrivals: list[Arrival] = []
    receipt, given_so_far = 0, 0
    for number, byte in enumerate(drawn, 1):
        receipts = []
        for _ in range(1 + byte % 3):
            given_so_far += 1
            receipts.append(given_so_far)
            arrivals.append(Arrival(given_so_far * 3 * TICK, number, BOOT, receipt, given_so_far))
        receipt = receipts[byte // 3 % len(receipts)]
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


@given(st.integers(0, 100), st.integers(1, 19))
def test_a_record_that_the_network_held_back_is_no_second_copy(at: int, later: int) -> None:
    held = ARRIVALS[at]._replace(recv_ns=ARRIVALS[at + later].recv_ns + 1000, given=9000)
    assert collected(sorted([*ARRIVALS, held]), TIMES).verdict == "intact"


@given(st.integers(1, RECORD_BYTES - 1))
def test_a_torn_tail_that_nobody_was_told_of_is_no_loss(length: int) -> None:
    whole = b"".join(record_line(*arrival.record) for arrival in ARRIVALS)
    assert kept(ARRIVALS, whole + record_line(121, BOOT, 120)[:length]).verdict == "intact"
    assert kept(ARRIVALS, whole[:-length]).verdict == "data lost"
