"""IPv6 beside IPv4 in one trial: each family's silence is found by itself, and so is their difference."""

from pathlib import Path

import pytest
from faketrial import PLAN, SCRIPT, light, record

from migrascope.metrics.family import COMPARED
from migrascope.metrics.trial import examine, measure
from migrascope.model.family import NOT_PLANNED, key_of
from migrascope.model.measured import Measured
from migrascope.model.plan import Plan
from migrascope.store.recording import Recording

BOTH = {"families": ["ipv4", "ipv6"]}
DUAL = Plan.model_validate({**PLAN.model_dump(mode="json"), **BOTH})
LATER_S = 0.5
DIFFERENCE = "network_blackout_ipv6_difference_s"


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    plan = DUAL.loaded(DUAL.full_load())
    return record(tmp_path_factory.mktemp("runs"), plan, later_over_ipv6_s=LATER_S)


@pytest.fixture(scope="module")
def found(recording: Recording) -> dict[str, Measured]:
    return measure(recording)


def value(found: dict[str, Measured], key: str) -> float:
    measured = found[key]
    assert measured.value is not None, measured.reason
    return measured.value


@pytest.mark.parametrize(
    ("key", "truth"),
    [
        ("network_blackout_s", SCRIPT.gap_s),
        ("network_blackout_ipv6_s", SCRIPT.gap_s + LATER_S),
        (DIFFERENCE, LATER_S),
        ("network_lost_time_ipv6_s", SCRIPT.lost_s),
        ("http_kept_blackout_ipv6_difference_s", LATER_S),
    ],
)
def test_a_figure_is_the_truth_within_its_bound(found: dict[str, Measured], key: str, truth: float) -> None:
    bound = found[key].bound
    assert bound is not None
    assert value(found, key) == pytest.approx(truth, abs=bound)


def test_the_bound_of_a_difference_is_that_of_both(found: dict[str, Measured]) -> None:
    bounds = [found[key].bound for key in ("network_blackout_s", "network_blackout_ipv6_s")]
    assert found[DIFFERENCE].bound == pytest.approx(sum(filter(None, bounds)))


def test_each_family_recovers_by_itself(recording: Recording) -> None:
    seen = examine(recording)
    assert seen.warnings == []
    assert seen.windows.recovered is not None
    assert seen.windows.resume is not None
    # longer than IPv4 takes to recover, and less than IPv6 does
    assert (seen.windows.recovered - seen.windows.resume) / 1e9 < LATER_S + 0.5
    for family in ("ipv4", "ipv6"):
        rows = recording.over(family).table("echo_sent")
        assert rows["source"].unique().to_list() == ["echo" if family == "ipv4" else "echo-ipv6"]
        assert rows.height == len(rows["seq"].unique())


def test_every_figure_of_the_second_family_is_there_where_that_of_the_first_is(found: dict[str, Measured]) -> None:
    pairs = {key: key_of(key) for key in found if key_of(key) in found}
    assert {key for key in found if "ipv6" in key and "difference" not in key} == set(pairs.values())
    assert [key for key, second in pairs.items() if (found[key].value is None) != (found[second].value is None)] == []
    assert sum(found[key].value is not None for key in pairs) > 70


def test_the_guest_is_one_over_both(recording: Recording) -> None:
    assert set(recording.table("liveness")["source"]) == {"liveness", "liveness-ipv6"}


def test_without_ipv6_its_figures_are_missing_with_the_reason(tmp_path: Path) -> None:
    found = measure(record(tmp_path))
    reasons = {measured.reason for key, measured in found.items() if "ipv6" in key}
    assert reasons == {NOT_PLANNED}
    assert value(found, "network_blackout_s") == pytest.approx(SCRIPT.gap_s, abs=0.005)


def test_what_came_no_more_over_ipv6_is_at_least(tmp_path: Path) -> None:
    plan = light(blocks=1, windows={"before": "1s", "limit": "5s"}, **BOTH)
    recording = record(tmp_path, plan, later_over_ipv6_s=1000.0)
    assert recording.trial.status == "failed"
    assert str(recording.trial.reason).startswith("the service did not recover over ipv6: ")
    found = measure(recording)
    first, second, apart = (found[key] for key in ("network_blackout_s", "network_blackout_ipv6_s", DIFFERENCE))
    assert (first.at_least, second.at_least, apart.at_least) == (False, True, True)
    assert value(found, DIFFERENCE) == pytest.approx(value(found, "network_blackout_ipv6_s") - SCRIPT.gap_s, abs=0.05)


def test_what_was_cut_off_over_ipv4_bounds_no_difference(tmp_path: Path) -> None:
    plan = light(blocks=1, **BOTH)
    found = measure(record(tmp_path, plan, failure="source-killed"))
    assert found["network_blackout_s"].at_least
    for key in COMPARED:
        apart = found[key_of(key, "ipv6_difference")]
        assert apart.value is None, key
        assert apart.reason
