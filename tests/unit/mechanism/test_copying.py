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
