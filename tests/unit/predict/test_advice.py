"""Advice: the least of what is minded, nothing that was ruled out, nothing that will not end."""

from dataclasses import replace

import pytest

from migrascope.mechanism.copying import Course
from migrascope.mechanism.dirtying import Dirtying, WorkingSet
from migrascope.mechanism.rules import Step
from migrascope.predict.advice import MINDS, POLICIES, Advice, Mind, Wish, advised, cost, settings_for
from migrascope.predict.baselines import MODELS
from migrascope.predict.conformal import Margin
from migrascope.predict.fit import Fitted, Scope
from migrascope.predict.parameters import Parameters
from migrascope.predict.predictor import FIGURES, Prediction, Predictor
from migrascope.predict.request import Guest, NotPredicted, Request, Settings

MIB = 2**20
FITTED = Fitted(MODELS[0], Parameters())
ALONE = Predictor.alone(FITTED, "no trials")
WITH_INTERVALS = Predictor(FITTED, dict.fromkeys(FIGURES, Margin(0.1, 20)))


def request(rate_Bps: float, size: int = 64, link_Bps: float = 100e6) -> Request:
    guest = Guest(512 * MIB, 200 * MIB, Dirtying((WorkingSet(size * MIB, rate_Bps),) if rate_Bps else ()))
    return Request("tcg", guest, link_Bps, Settings("pre-copy", (Step(0.0, 0.3),), 60.0))


def chosen(advice: Advice) -> tuple[str, float]:
    return advice.best.name, advice.best.limit_s


@pytest.mark.parametrize("mind", MINDS)
@pytest.mark.parametrize("rate_Bps", [0.0, 20e6, 300e6])
def test_the_best_ends_and_costs_no_more_than_any_other_that_does(mind: Mind, rate_Bps: float) -> None:
    advice = advised(request(rate_Bps), ALONE, Wish(mind))
    assert advice.best.prediction.course.ends
    ending = [option.cost for option in advice.options if option.prediction.ends >= 0.9]
    assert advice.best.cost == min(ending)


def test_a_guest_that_writes_faster_than_the_link_is_not_migrated_by_plain_pre_copy() -> None:
    wild = request(300e6, size=200)
    for mind in ("time", "blackout"):
        assert advised(wild, ALONE, Wish(mind)).best.name not in ("pre-copy", "multifd")


def test_a_guest_that_must_not_be_lost_gets_no_post_copy() -> None:
    advice = advised(request(300e6, size=200), ALONE, Wish("time", never_lose=True))
    assert {option.name for option in advice.options} == {"pre-copy", "auto-converge", "multifd"}
    assert dict(advice.refused).keys() == {"post-copy", "post-copy-preempt"}


def test_what_must_end_within_a_time_ends_within_it() -> None:
    wide, narrow = (advised(request(20e6), ALONE, Wish("data", within)) for within in (60.0, 0.1))
    assert wide.best.prediction.course.ends
    assert not any(option.prediction.course.ends for option in narrow.options)


def test_a_smaller_limit_is_advised_to_who_minds_the_blackout() -> None:
    name, limit_s = chosen(advised(request(1e6), ALONE, Wish("blackout", never_lose=True)))
    assert limit_s < 0.3
    assert name in POLICIES


def test_what_a_little_less_writing_leads_to_is_in_the_cost() -> None:
    """Post-copy whose first copy nearly fits into a limit of 1 s."""
    switched = Course(ends=True, time_s=2.0, data_bytes=3e8, pause_s=0.03, rounds=2, waits_s=0.1)
    fitted_in = replace(switched, pause_s=1.0, waits_s=0.0)
    prediction = Prediction(switched, [switched, switched, switched, fitted_in], {}, {})
    assert cost("blackout", prediction, 60.0) == pytest.approx((3 * 0.13 + 1.0) / 4)


def test_regret_needs_intervals_and_is_no_gain() -> None:
    assert advised(request(20e6), ALONE, Wish("time")).regret is None
    found = advised(request(20e6), WITH_INTERVALS, Wish("time")).regret
    assert found is not None
    assert found > 0
    assert advised(request(20e6), WITH_INTERVALS, Wish("guest-speed")).regret is None


def test_only_what_was_fitted_is_advised() -> None:
    asked = request(20e6)
    fitted = replace(FITTED, scope=Scope.of([asked]))
    advice = advised(asked, Predictor.alone(fitted, "no trials"), Wish("time"))
    assert {option.name for option in advice.options} == {"pre-copy"}
    assert "post-copy was not fitted" in dict(advice.refused)["post-copy"]
    other = replace(asked, accelerator="kvm")
    with pytest.raises(NotPredicted, match="cannot be predicted, because the accelerator kvm"):
        advised(other, Predictor.alone(fitted, "no trials"), Wish("time"))


def test_a_bound_on_the_rate_is_kept_and_set() -> None:
    free = request(5e6)
    bounded = replace(free, settings=replace(free.settings, bound_Bps=25e6))
    for option in advised(bounded, ALONE, Wish("time")).options:
        assert option.policy.bandwidth == 200e6
        course = option.prediction.course
        assert course.time_s is None or course.time_s > 200 * MIB / 25e6
        texts = ["\n".join(how) for how in settings_for(option).values()]
        named = ["max-bandwidth 25000000B", "--bandwidth 24", "live_migration_bandwidth = 24"]
        assert all(name in text for name, text in zip(named, texts, strict=True))
        assert ("--postcopy-bandwidth 24" in texts[1]) == (option.policy.post_copy is not None)
    assert not any(
        "bandwidth" in text for how in settings_for(advised(free, ALONE, Wish()).best).values() for text in how
    )


def test_the_settings_are_those_of_the_advice() -> None:
    advice = advised(request(300e6, size=200), ALONE, Wish("time"))
    by_name = {option.name: option for option in advice.options}
    texts = {
        name: "\n".join("\n".join(how) for how in settings_for(option).values()) for name, option in by_name.items()
    }
    assert "postcopy-ram on" in texts["post-copy"]
    assert "--postcopy" in texts["post-copy"]
    assert "live_migration_permit_post_copy = True" in texts["post-copy"]
    assert "postcopy" not in texts["pre-copy"]
    assert "--auto-converge" in texts["auto-converge"]
    for policy in ("post-copy", "post-copy-preempt"):
        limit, word, command = settings_for(by_name[policy])["libvirt"]
        assert limit.startswith("virsh migrate-setmaxdowntime DOMAIN ")
        assert "preempt on by itself" in word
        assert command == "virsh migrate --live --postcopy --postcopy-after-precopy DOMAIN URI"
    for name, option in by_name.items():
        assert f"downtime-limit {1000 * option.limit_s:.0f}" in texts[name]
