"""What an end may be off by, and when it is said that there is none."""

from dataclasses import replace

import pytest
from faketrial import FACTORS

from migrascope.live.estimate import Estimate, estimate
from migrascope.live.eta import Forecast
from migrascope.live.experience import ANY_EMPTY_S, ANY_SETTLE_S, NOTHING, Bounds, Known, Past, known
from migrascope.live.history import History
from migrascope.live.sample import Sample
from migrascope.live.terms import Terms
from migrascope.mechanism.dirtying import Dirtying, WorkingSet

TERMS = Terms(0.3, link_Bps=125e6)
TOTAL = 1_000_000_000
HELD = 200_000_000
KNOWN = Known(float(HELD), speed_Bps=1e8)


def sample(at_s: float, left: int, zeros: int = 0, state: str = "active", rounds: int = 1, again: int = 0) -> Sample:
    """again: bytes that were sent once more."""
    sent = TOTAL - left + again
    return Sample(at_s, state, TOTAL, left, sent, zeros, sent - zeros, rounds)


def seen(*samples: Sample) -> History:
    history = History.of(samples[0])
    for item in samples[1:]:
        history = history.then(item)
    return history


def copying(state: str = "active", rounds: int = 1) -> History:
    """A second after the request 100 of 200 MB are over, at 100 MB/s, and none of 800 that are empty."""
    return seen(*(sample(step / 10, TOTAL - step * 10**7, 0, state, rounds) for step in range(11)))


def of(history: History, learnt: Known, terms: Terms = TERMS) -> Estimate:
    return estimate(history, terms, learnt)


def test_the_interval_is_as_wide_as_what_comes_after_the_last_byte_differed() -> None:
    over = seen(sample(1.0, 10_000_000), sample(1.1, 0, 800_000_000, "device", 2))
    near, far = (of(over, replace(KNOWN, settles_s=Bounds(0.03, most))) for most in (0.05, 0.7))
    assert near.high_s == pytest.approx(1.15)
    assert (far.low_s, far.end_s, far.high_s) == pytest.approx((1.13, 1.14, 1.8))


def test_an_end_that_has_passed_all_that_is_known_is_open() -> None:
    over = [sample(1.0, 10_000_000), *(sample(1.1 + step / 10, 0, 800_000_000, "device", 2) for step in range(4))]
    late = of(seen(*over), KNOWN)
    assert late.end_s == pytest.approx(1.4)
    assert late.high_s is None


def test_empty_memory_is_in_every_case_of_the_interval() -> None:
    """800 MB of it take from 0.1 to 1.6 s."""
    slow = replace(KNOWN, empty_s=1e-9, empties_s=Bounds(1e-10, 2e-9))
    found = of(copying(), slow)
    assert found.end_s is not None
    assert found.high_s is not None
    assert found.low_s is not None
    assert found.end_s == pytest.approx(1 + 1.0 + 0.8, rel=0.05)
    assert found.high_s > found.end_s + 0.7
    assert found.low_s < found.end_s - 0.6


def test_empty_memory_takes_its_time_in_post_copy_too() -> None:
    found = of(copying("postcopy-active"), replace(KNOWN, empty_s=1e-9, empties_s=Bounds(1e-9, 1e-9)))
    assert found.end_s == pytest.approx(1 + 1.0 + 0.8 + KNOWN.settle_s, rel=0.02)


def test_an_end_that_stands_has_the_interval_that_is_known_by_now() -> None:
    """It would be 3 % later now, which is no reason to move it."""
    history = copying()
    now = of(history, KNOWN)
    assert now.end_s is not None
    assert now.high_s is not None
    said = Forecast(0.9, "ends", now.end_s - 0.05, now.end_s - 0.06, now.end_s - 0.04, "", now.basis, history)
    kept = said.on(history, TERMS, KNOWN)
    assert (kept.end_s, kept.why) == (said.end_s, "")
    assert kept.high_s == now.high_s


def past(settle_s: float, policy: str = FACTORS.policy, empty_s: float = 1e-10) -> Past:
    return Past(replace(FACTORS, policy=policy), 0.05, 2e8, None, 1e8, None, empty_s, settle_s)


def test_few_earlier_migrations_do_not_say_how_much_they_differ() -> None:
    assert known(FACTORS, []) == NOTHING
    assert known(FACTORS, [past(0.05)]).settles_s == ANY_SETTLE_S
    assert known(FACTORS, [past(0.05), past(0.3)]).settles_s == Bounds(0.0, 0.3)


def test_one_migration_alone_does_not_say_how_long_empty_memory_takes() -> None:
    slow = past(0.05, empty_s=1e-9)
    assert known(FACTORS, [slow]).empty_s == pytest.approx((ANY_EMPTY_S.most + NOTHING.empty_s) / 2)
    assert known(FACTORS, [slow]).empties_s.most == 1e-9
    assert known(FACTORS, [slow] * 3).empty_s == 1e-9


def test_many_do_but_for_the_outermost() -> None:
    pasts = [past(0.05 + step / 1000) for step in range(40)]
    found = known(FACTORS, [*pasts, past(9.0), past(0.0), past(5.0, "tls")]).settles_s
    assert found == pytest.approx((0.051, 0.088))


def test_what_the_same_guest_showed_says_how_fast_its_memory_goes() -> None:
    others = [replace(past(0.05), factors=replace(FACTORS, resident_bytes=size), speed_Bps=1e8) for size in (1, 2, 3)]
    own = replace(past(0.05), speed_Bps=4e8)
    assert known(FACTORS, [own, *others]).speed_Bps == 4e8
    assert known(replace(FACTORS, resident_bytes=4), [own, *others]).speed_Bps == 1e8


def test_what_the_same_guest_showed_says_how_long_after_its_last_byte_the_end_comes() -> None:
    """Where its memory compresses, it goes over faster than the link fills."""
    others = [replace(past(0.15), factors=replace(FACTORS, resident_bytes=size)) for size in (1, 2, 3)]
    assert known(FACTORS, others).settle_s == 0.15
    assert known(FACTORS, [*others, past(0.06)]).settle_s == 0.06


def test_what_the_plan_has_filled_is_in_the_first_copy() -> None:
    filled = replace(FACTORS, resident_bytes=500_000_000)
    found = known(filled, [past(0.05)])
    assert found.first_copy == 700_000_000
    assert found.spread == pytest.approx(0.5 * 200 / 700)
    less = known(FACTORS, [Past(filled, 0.05, 7e8, None, 1e8)])
    assert less.first_copy == 200_000_000


def rounds(left: list[int], every_s: float) -> History:
    """A first copy of two seconds, then rounds that begin with so much; 100 MB go over in a second."""
    samples = [sample(step / 10, TOTAL - step * 10**7) for step in range(20)]
    for at, remaining in enumerate(left):
        again = remaining + at * round(every_s * 10**8)
        samples.append(sample(2.0 + at * every_s, remaining, 8 * 10**8, "active", at + 2, again))
    return seen(*samples)


def test_rounds_that_scatter_widen_the_interval() -> None:
    """Rounds of 0.24 s dirty 9.6 MB each, or nothing and 19.2."""
    writes = replace(TERMS, limit_s=0.03, sampled=Dirtying((WorkingSet(1e9, 4e7),)))
    even, apart = (
        of(rounds([39_000_000, second, 10_200_000], 0.24), KNOWN, writes) for second in (24_600_000, 15_000_000)
    )
    assert even.low_s is not None
    assert even.high_s is not None
    assert apart.low_s is not None
    assert apart.high_s is None or apart.high_s - apart.low_s > 1.5 * (even.high_s - even.low_s)


WRITES = replace(TERMS, limit_s=0.03, write_Bps=4e8, write_set_bytes=10**7)


def test_it_is_not_said_to_go_on_for_ever_where_a_round_may_end_it_by_luck() -> None:
    """3 MB fit into the limit of 30 ms; rounds leave 5 to 12, of which one in some hundred is that low."""
    scattered = rounds([12_000_000, 9_000_000, 5_000_000, 8_000_000, 8_500_000] * 6, 0.1)
    steady = rounds([8_000_000, 8_100_000, 7_900_000, 8_050_000, 8_000_000] * 6, 0.1)
    assert of(scattered, KNOWN, WRITES).verdict == "unknown"
    found = of(steady, KNOWN, WRITES)
    assert found.verdict == "never"
    assert "its rounds leave" in found.why


def test_where_it_does_not_converge_the_plans_limit_is_named() -> None:
    steady = rounds([8_000_000, 8_100_000, 7_900_000, 8_050_000, 8_000_000] * 6, 0.1)
    why = of(steady, KNOWN, replace(WRITES, deadline_s=60.0)).why
    assert why.endswith("; it is cancelled after 60.0 s")


def test_what_takes_longer_than_the_plans_limit_is_late_whether_it_converges_or_not() -> None:
    """Three seconds of it are left after two rounds, and two until it is cancelled."""
    history = rounds([300_000_000, 300_000_000], 1.0)
    found = of(history, KNOWN, replace(WRITES, deadline_s=5.0))
    assert found.low_s is None
    assert (found.verdict, found.why) == ("late", "it is cancelled after 5.00 s")
