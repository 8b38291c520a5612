"""The end of a migration, foretold: against guests that are counted page by page, and against recorded ones."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from guestpages import Guest, migrated
from hypothesis import given
from hypothesis import strategies as st

from migrascope.live.estimate import estimate
from migrascope.live.eta import NOT_BEGUN, Forecast, at_request
from migrascope.live.experience import NOTHING, Known
from migrascope.live.history import History
from migrascope.live.sample import Sample
from migrascope.live.terms import Terms
from migrascope.model.policy import AutoConverge, Moment

LINK_BPS = 1e9 / 8


def terms(guest: Guest, **changes: Any) -> Terms:
    """As a plan would have them: the writer is declared."""
    size = guest.set_bytes if guest.write_Bps else 0
    return replace(Terms(guest.limit_s, guest.give_up_s, False, None, None, guest.write_Bps, size, LINK_BPS), **changes)


def learnt(guest: Guest) -> Known:
    """What earlier migrations of such a guest told."""
    return Known(guest.held + (guest.set_bytes if guest.write_Bps else 0), None, 0.01, 117e6)


def foretold(samples: Sequence[Sample], how: Terms, known: Known) -> list[Forecast]:
    said = [at_request(how, known)]
    for sample in samples:
        said.append(said[-1].then(sample, how, known))
    return said


def late_half(said: Sequence[Forecast], took_s: float) -> list[Forecast]:
    return [forecast for forecast in said if took_s / 2 <= forecast.at_s < took_s]


def worst(said: Sequence[Forecast], took_s: float) -> float:
    """The largest error from half-time on, as a share of the whole time."""
    judged = late_half(said, took_s)
    assert judged
    return max(abs(forecast.end_s - took_s) / took_s if forecast.end_s is not None else 9.0 for forecast in judged)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rate", [0, 20e6, 40e6, 60e6, 80e6, 100e6])
def test_the_end_is_within_a_tenth_from_half_time_on(rate: float, seed: int) -> None:
    guest = Guest(write_Bps=rate, seed=seed)
    samples, took_s = migrated(guest)
    assert took_s is not None
    assert worst(foretold(samples, terms(guest), learnt(guest)), took_s) < 0.1


def test_what_is_known_before_is_used_before_anything_is_sent() -> None:
    guest = Guest(write_Bps=40e6)
    took_s = migrated(guest)[1]
    assert took_s is not None
    said = at_request(terms(guest), learnt(guest))
    assert said.end_s == pytest.approx(took_s, rel=0.1)
    assert said.low_s is not None
    assert said.high_s is not None
    assert said.low_s < took_s < said.high_s
    assert at_request(terms(guest), NOTHING).verdict == "unknown"


def test_without_earlier_trials_the_interval_says_how_little_is_known() -> None:
    """How much of the memory holds something is not known until it has gone over."""
    guest = Guest()
    samples, took_s = migrated(guest)
    assert took_s is not None
    said = foretold(samples, terms(guest), NOTHING)
    early = next(forecast for forecast in said if forecast.end_s is not None)
    assert early.low_s is not None
    assert early.low_s < took_s
    assert early.high_s is None or early.high_s > took_s
    assert early.high_s is None or early.high_s > 3 * early.low_s


@pytest.mark.parametrize("rate", [200e6, 250e6])
def test_a_guest_that_writes_faster_than_the_link_does_not_converge(rate: float) -> None:
    guest = Guest(write_Bps=rate, give_up_s=10.0)
    samples, took_s = migrated(guest)
    assert took_s is None
    said = foretold(samples, terms(guest, deadline_s=None), learnt(guest))
    assert said[-1].verdict == "never"
    assert said[-1].end_s is None
    assert "downtime limit" in said[-1].why
    assert not any(forecast.verdict == "never" for forecast in said if forecast.at_s < 2.0)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rate", [0, 60e6, 100e6, 120e6, 140e6])
def test_of_one_that_comes_to_its_end_nobody_says_it_will_not(rate: float, seed: int) -> None:
    guest = Guest(write_Bps=rate, seed=seed)
    samples, took_s = migrated(guest)
    assert took_s is not None
    assert {forecast.verdict for forecast in foretold(samples, terms(guest), learnt(guest))} <= {"ends", "unknown"}


def test_an_end_after_the_plans_limit_is_said_to_come_too_late() -> None:
    guest = Guest(total=2**31, held=2**30)
    samples, took_s = migrated(guest)
    assert took_s is not None
    said = foretold(samples[:10], terms(guest, deadline_s=5.0), learnt(guest))[-1]
    assert said.verdict == "late"
    assert said.why == "it is cancelled after 5.00 s"
    assert said.end_s == pytest.approx(took_s, rel=0.1)


def test_what_slows_the_guest_lets_it_converge() -> None:
    steps = ((2.5, 0.2), (4.5, 0.3), (6.5, 0.4), (8.5, 0.5), (10.0, 0.6))
    guest = Guest(write_Bps=250e6, throttles=steps)
    samples, took_s = migrated(guest)
    assert took_s is not None
    said = foretold(samples, terms(guest, slows=AutoConverge()), learnt(guest))
    assert {forecast.verdict for forecast in said} == {"ends"}


@pytest.mark.parametrize("moment", [{"after": "500ms"}, {"after_round": 0}])
def test_post_copy_ends_when_the_rest_has_gone_over(moment: dict[str, Any]) -> None:
    guest = Guest(write_Bps=160e6, post_copy_s=0.5)
    samples, took_s = migrated(guest)
    assert took_s is not None
    said = foretold(samples, terms(guest, turns=Moment.model_validate(moment)), learnt(guest))
    assert worst(said, took_s) < 0.1


def test_a_pause_after_a_round_ends_what_would_never_end() -> None:
    guest = Guest(write_Bps=250e6, give_up_s=4.0)
    samples, took_s = migrated(guest)
    assert took_s is None
    turns = Moment.model_validate({"after_round": 1000})
    assert "never" not in {forecast.verdict for forecast in foretold(samples, terms(guest, turns=turns), learnt(guest))}


def test_a_controller_that_will_raise_the_limit_is_waited_for() -> None:
    guest = Guest(write_Bps=150e6, limit_s=0.03, give_up_s=8.0)
    samples, took_s = migrated(guest)
    assert took_s is None
    how = terms(guest, deadline_s=None)
    assert foretold(samples, how, learnt(guest))[-1].verdict == "never"
    assert "never" not in {
        forecast.verdict for forecast in foretold(samples, replace(how, may_rise=True), learnt(guest))
    }


def test_of_one_that_a_tenth_would_let_converge_nobody_says_it_will_not() -> None:
    """It writes 3 % faster than the link carries; with a tenth less it ends, so that it is not said never to."""
    guest = Guest(write_Bps=120e6, limit_s=0.03, give_up_s=8.0)
    samples, took_s = migrated(guest)
    assert took_s is None
    said = foretold(samples, terms(guest, deadline_s=None), learnt(guest))[-1]
    assert (said.verdict, said.end_s) == ("unknown", None)
    assert "may not converge" in said.why


def test_a_slower_link_moves_the_end_and_says_so() -> None:
    guest = Guest(write_Bps=20e6, slower_s=1.0, slower_Bps=60e6)
    samples, took_s = migrated(guest)
    assert took_s is not None
    said = foretold(samples, terms(guest), learnt(guest))
    assert worst(said, took_s) < 0.1
    assert any("slower: " in forecast.why for forecast in said)


def test_a_link_that_is_down_has_no_end_until_it_is_back() -> None:
    guest = Guest(write_Bps=20e6)
    samples, took_s = migrated(guest)
    assert took_s is not None
    at = len(samples) // 2
    down = [replace(samples[at], at_s=samples[at].at_s + step / 10) for step in range(1, 20)]
    back = [replace(sample, at_s=sample.at_s + 2.0) for sample in samples[at + 1 :]]
    said = foretold([*samples[: at + 1], *down, *back], terms(guest), learnt(guest))
    still = said[at + 20]
    assert still.end_s is None
    assert still.why == "nothing has gone over for 1.0 s"
    assert said[-2].end_s == pytest.approx(took_s + 2.0, rel=0.05)


def samples_that(drawn: list[tuple[int, int, int, int, int]]) -> list[Sample]:
    """Any counts whatever, by time."""
    at_s, found, sent, rounds = 0.0, [], 0, 1
    for wait, remaining, more, turns, throttle in drawn:
        at_s, sent, rounds = at_s + wait / 100, sent + more, rounds + turns
        found.append(
            Sample(at_s, "active", 2**29, remaining, sent, sent // 3, sent // 2, rounds, None, throttle / 100)
        )  # fmt: skip
    return found


@given(
    st.lists(
        st.tuples(
            st.integers(1, 300), st.integers(0, 2**29), st.integers(0, 2**27), st.integers(0, 3), st.integers(0, 99)
        ),
        max_size=12,
    ),
    st.sampled_from([None, AutoConverge()]),
    st.sampled_from([None, Moment(after_round=1)]),
    st.sampled_from([0.0, 40e6, 400e6]),
)
def test_whatever_is_counted_the_end_never_moves_later_without_a_reason(
    drawn: list[tuple[int, int, int, int, int]], slows: AutoConverge | None, turns: Moment | None, rate: float
) -> None:
    how = Terms(0.3, 15.0, False, slows, turns, rate, 2**27 if rate else 0, LINK_BPS)
    for known in (NOTHING, Known(2e8, None, 0.01, 1e8)):
        for old, new in pairwise(foretold(samples_that(drawn), how, known)):
            if old.end_s is not None and (new.end_s is None or new.end_s > old.end_s):
                assert new.why
            if new.end_s is not None and new.low_s is not None:
                assert new.low_s <= new.end_s
                assert new.high_s is None or new.end_s <= new.high_s


def test_an_end_that_has_passed_is_moved_on() -> None:
    guest = Guest()
    samples = migrated(guest)[0]
    how, known = terms(guest), learnt(guest)
    said = foretold(samples[:6], how, known)[-1]
    assert said.end_s is not None
    stuck = replace(samples[5], at_s=said.end_s + 1.0, transferred=samples[5].transferred + 1)
    again = said.then(stuck, how, known)
    assert again.end_s is not None
    assert again.end_s > stuck.at_s
    assert again.why


def test_a_sample_that_is_over_changes_nothing() -> None:
    guest = Guest()
    samples = migrated(guest)[0]
    said = foretold(samples[:-1], terms(guest), learnt(guest))[-1]
    assert said.then(samples[-1], terms(guest), learnt(guest)).end_s == said.end_s


def test_seconds_left_are_never_below_zero() -> None:
    assert NOT_BEGUN.left_s(3.0) is None
    assert Forecast(1.0, "ends", 5.0).left_s(3.0) == 2.0
    assert Forecast(1.0, "ends", 5.0).left_s(9.0) == 0.0


IDLE = [
    # seconds since the request, remaining, sent, zero bytes, transferred, rounds; QEMU 10.0, 1 GiB, 1 Gbit/s, 300 ms
    (0.043, 1052778496, 21491712, 16605184, 4805540, 1),
    (0.140, 1039400960, 34869248, 16605184, 18209240, 1),
    (0.242, 1029300224, 44969984, 16605184, 28329740, 1),
    (0.340, 1016369152, 57901056, 17776640, 40114295, 1),
    (0.441, 995897344, 78372864, 24678400, 53726642, 1),
    (0.539, 978948096, 95322112, 30253056, 65135762, 1),
    (0.641, 966488064, 107782144, 30814208, 77059151, 1),
    (0.740, 955432960, 118837248, 31019008, 87931115, 1),
    (0.844, 21049344, 1053220864, 957456384, 97928540, 1),
]
IDLE_TOOK_S = 1.060


def test_a_recorded_guest_of_which_nine_tenths_are_empty() -> None:
    """Bytes left over bytes a second would be 8 s at half-time."""
    samples = [
        Sample(at_s, "active", 1074274304, left, sent, zero, over, rounds)
        for at_s, left, sent, zero, over, rounds in IDLE
    ]
    said = foretold(samples, Terms(0.3, 60.0, link_Bps=LINK_BPS), Known(114585600.0, None, 0.03, 117.9e6))
    assert worst(said, IDLE_TOOK_S) < 0.1


def test_a_round_that_ends_before_the_first_copy_says_nothing_of_what_the_guest_writes() -> None:
    """As where the downtime limit is that long: QEMU looks at the bitmap at once, and most of the guest is left."""
    total, zeros = 1_000_000_000, 9_000_000

    def at(seconds: float, sent: int, left: int, rounds: int) -> Sample:
        return Sample(seconds, "active", total, left, sent, zeros, sent - zeros, rounds)

    samples = [at(0.0, 10_000_000, total - 10_000_000, 1), at(0.1, 22_000_000, total - 21_000_000, 2)]
    history = History.of(samples[0]).then(samples[1])
    assert history.turns[0].dirtied > 0
    basis = estimate(history, terms(Guest(write_Bps=0), limit_s=100.0), learnt(Guest(write_Bps=0))).basis
    assert basis is not None
    assert basis.dirty_Bps == 0
