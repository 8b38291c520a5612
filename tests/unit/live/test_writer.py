"""The count of the writer in a guest, and what it says of the guest's dirty rate."""

import pytest

from migrascope.live.terms import LEAST_BUSY, Terms
from migrascope.live.writer import LATELY_S, Writer, Writing

WORK = "kind=memory rate=160000000 set=134217728 pattern=random"


def counted(*counts: tuple[float, int, float]) -> Writer:
    writer = Writer()
    for guest_s, done, cpu_s in counts:
        writer.take(1, WORK, "running", done, guest_s, cpu_s)
    return writer


def test_it_says_what_it_did_lately() -> None:
    writer = counted(*((second / 4, second * 5_000_000, second * 0.05) for second in range(40)))
    found = writer.lately()
    assert found is not None
    assert found.rate_Bps == pytest.approx(20e6)
    assert found.busy == pytest.approx(0.2)


def test_what_was_long_ago_does_not_count() -> None:
    slow = [(0.0, 0, 0.0), (5.0, 50_000_000, 1.0)]
    fast = [(5.0 + LATELY_S, 50_000_000 + 150_000_000, 2.0)]
    found = counted(*slow, *fast).lately()
    assert found is not None
    assert found.rate_Bps == pytest.approx(150e6 / LATELY_S)


def test_an_answer_that_says_nothing_new_is_no_count() -> None:
    assert counted((1.0, 10, 0.1)).lately() is None
    assert counted((1.0, 10, 0.1), (1.0, 10, 0.1)).lately() is None


def test_others_than_memory_dirty_no_known_set() -> None:
    writer = Writer()
    for second in range(3):
        writer.take(1, "kind=cpu", "running", second, float(second), 0.0)
        writer.take(2, WORK, "preparing", second, float(second), 0.0)
    assert writer.lately() is None


def test_several_of_them_write_together() -> None:
    writer = Writer()
    for second in range(3):
        writer.take(1, WORK, "running", 100 * second, float(second), 0.1 * second)
        writer.take(2, WORK, "running", 50 * second, float(second), 0.4 * second)
    found = writer.lately()
    assert found is not None
    assert found.rate_Bps == pytest.approx(150)
    assert found.busy == pytest.approx(0.4)


def test_a_plans_writer_counts_for_what_it_reaches() -> None:
    planned = Terms(0.3, write_Bps=160e6, write_set_bytes=2**27)
    reached = planned.writing(Writing(90e6, 0.4))
    assert (reached.write_Bps, reached.busy) == (90e6, 0.4)
    assert planned.writing(None) == planned
    assert planned.writing(Writing(1e6, 0.0)).busy == LEAST_BUSY
    assert Terms(0.3).writing(Writing(90e6, 0.4)) == Terms(0.3)
