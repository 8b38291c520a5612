"""A copy that is computed ahead from the middle of it."""

import pytest

from migrascope.mechanism.copying import Copy, Part, Way, course
from migrascope.mechanism.dirtying import WorkingSet
from migrascope.mechanism.rules import Judge, Rules, Step

WAY = Way(1.0, 1 / 120e6)


def under_way(left: float) -> Copy:
    """Its first round is over 2 s after the request but for so many bytes; the guest has written all the while."""
    parts = [Part(left, WAY), Part(0.0, WAY, WorkingSet(128e6, 100e6))]
    return Copy(Rules((Step(0.0, 0.3),)), parts, WAY, 0.04, 0.0, 2.0, 0.0, Judge(0.0), guest_s=2.0)


def test_a_guest_of_which_nothing_is_left_is_looked_at_before_it_is_stopped() -> None:
    """The limit allows 36 MB, and the look finds 101: as of one of which a byte is left."""
    nothing, almost = course(under_way(0.0)), course(under_way(1.0))
    assert nothing.rounds == almost.rounds > 2
    assert nothing.time_s == pytest.approx(almost.time_s, rel=0.05)


def test_what_was_left_at_a_look_goes_before_what_that_added() -> None:
    """Of 100 MB that are never written and 60 of a set of 120, all are left; the look adds the other 60."""
    plain, written = Part(100e6, WAY), Part(60e6, WAY, WorkingSet(120e6, 1e12))
    copy = Copy(Rules((Step(0.0, 0.3),)), [plain, written], WAY, 0.04, 0.0, 2.0, 0.0, Judge(0.0), guest_s=2.0)
    copy.look()
    assert written.left == pytest.approx(120e6)
    copy.send(80e6 / 120e6, copy.left())
    assert (plain.left, written.left) == pytest.approx((50e6, 90e6))
    copy.send(110e6 / 120e6, copy.left())
    assert (plain.left, written.left) == pytest.approx((0.0, 30e6))
    assert copy.data == pytest.approx(190e6)


def test_what_goes_last_is_left_when_all_else_is_over() -> None:
    """60 MB, then 300 MB in no time worth the name, then 12 MB: a limit of 36 MB is reached between the two."""
    first, empty, last = Part(60e6, WAY, ahead=60e6), Part(300e6, Way(1e-3, 1e-12)), Part(12e6, WAY, behind=12e6)
    copy = Copy(Rules((Step(0.0, 0.3),)), [first, empty, last], WAY, 0.04, 0.0, 0.0, 0.0, Judge(0.0))
    left = copy.left()
    assert copy.until(312e6, left) == pytest.approx(0.5)
    assert copy.until(36e6, left) == pytest.approx(0.5, abs=1e-3)
    assert copy.until(6e6, left) == pytest.approx(0.55, abs=1e-3)
    copy.send(0.5 + 300e-6, left)
    assert (first.left, empty.left, last.left) == pytest.approx((0.0, 0.0, 12e6), abs=1.0)
    copy.send(0.05, copy.left())
    assert (last.left, last.behind) == pytest.approx((6e6, 6e6))
    assert copy.until(0.0, copy.left()) == pytest.approx(0.05)
    copy.look()
    assert copy.until(3e6, copy.left()) == pytest.approx(0.025)
    copy.send(0.05, copy.left())
    assert copy.left().pages == pytest.approx(0.0, abs=1.0)
