"""When QEMU slows a guest, by a page-by-page loop and by hand."""

import pytest
from qemuloop import Loop, PagedGuest

from migrascope.mechanism.rules import Judge, Rules, Step, pace, slowed
from migrascope.model.policy import AutoConverge, Moment

SLOWS = AutoConverge()


def test_two_periods_that_dirty_more_than_half_of_what_was_sent_slow_the_guest() -> None:
    judge = Judge(0.0).looked(0.9, 100.0, 60.0, SLOWS)
    assert (judge.high, judge.throttle) == (0, 0.0)  # no second has passed
    judge = judge.looked(1.1, 10.0, 0.0, SLOWS)
    assert (judge.high, judge.throttle, judge.since_s, judge.sent) == (1, 0.0, 1.1, 0.0)
    judge = judge.looked(2.2, 100.0, 50.0, SLOWS)
    assert (judge.high, judge.throttle) == (1, 0.0)  # half is not more than half, and takes nothing back
    judge = judge.looked(3.3, 100.0, 51.0, SLOWS)
    assert (judge.high, judge.throttle) == (0, 0.2)


def test_the_throttle_rises_by_its_steps_to_its_maximum() -> None:
    throttle, seen = 0.0, []
    for _ in range(10):
        throttle = slowed(throttle, SLOWS)
        seen.append(round(100 * throttle))
    assert seen == [20, 30, 40, 50, 60, 70, 80, 90, 99, 99]
    assert slowed(0.3, None) == 0.3


def test_what_is_judged_is_what_the_loop_judges() -> None:
    """Its looks, replayed: the same throttle after each."""
    looks: list[tuple[float, float, float, int]] = []

    class Told(Loop):
        def migration_bitmap_sync(self) -> None:
            before, sent = self.bmap.sum(), self.transferred
            super().migration_bitmap_sync()
            looks.append((self.now, sent, float(self.bmap.sum() - before) * 4096, self.throttle_pct))

    guest = PagedGuest.of(256, 160, (128, 400e6), seed=3)
    Told(guest, 117e6, lambda now: 300.0, slows=(20, 10, 99), until_s=30.0).run()
    assert looks[-1][3] > 20
    judge, sent = Judge(0.0), 0.0
    for now, link, dirtied, percent in looks:
        judge = judge.looked(now, link - sent, dirtied, SLOWS)
        sent = link
        assert judge.throttle == pytest.approx(percent / 100)


@pytest.mark.parametrize(
    ("throttle", "busy", "share"), [(0.0, 1.0, 1.0), (0.3, 1.0, 0.7), (0.3, 0.5, 1.0), (0.8, 0.5, 0.4)]
)
def test_a_guest_loses_what_it_has_to_spare_first(throttle: float, busy: float, share: float) -> None:
    assert pace(throttle, busy) == pytest.approx(share)


def test_what_may_still_change() -> None:
    assert not Rules((Step(0.0, 0.3),)).may_change(0.0)
    assert Rules((Step(0.0, 0.3),), slows=SLOWS).may_change(0.98)
    assert not Rules((Step(0.0, 0.3),), slows=SLOWS).may_change(0.99)
    assert Rules((Step(0.0, 0.3),), paused=Moment(after_round=1)).may_change(0.0)
    assert Rules((Step(0.0, 0.1), Step(2.0, 0.2))).limit_at(2.0) == 0.2
