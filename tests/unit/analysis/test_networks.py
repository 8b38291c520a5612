"""What networks cost visitors, by direction, and which steps of the blackout they are told to take."""

from dataclasses import replace

import pytest
from faketrial import light

from fakerun import fake_run
from migrascope.analysis.export import summary_json
from migrascope.analysis.networks import network_costs
from migrascope.analysis.results import TrialResult
from migrascope.analysis.run import analyse
from migrascope.analysis.summary import Summary
from migrascope.model.measured import Measured, missing
from migrascope.report.page import networks

STEPS = {"pause": 0.1, "delivery": None, "answer": 0.2, "unexplained": 0.0}
WAYS = (("controller", "compute"), ("compute", "controller"))


def trial(like: TrialResult, network: str, way: tuple[str, str], late_s: float | None) -> TrialResult:
    """One whose frames came so late; None where the blackout was not measured."""
    steps = {name: late_s if value is None else value for name, value in STEPS.items()}
    lengths = {f"blackout_step_s.{name}": value for name, value in steps.items()}
    lengths["network_blackout_s"] = sum(value for value in steps.values() if value is not None)
    if late_s is None:
        lengths = dict.fromkeys(lengths)
    metrics = {
        key: missing("s", "echo", "nothing was sent") if value is None else Measured(value, "s", "echo")
        for key, value in lengths.items()
    }
    facts = replace(like.facts, factors=replace(like.facts.factors, network=network), source=way[0], destination=way[1])
    return replace(like, facts=facts, metrics={**like.metrics, **metrics})


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return analyse(fake_run(tmp_path_factory.mktemp("runs"), light(blocks=1, axes={"scenario": ["none"]})))


@pytest.fixture(scope="module")
def summary(base: Summary) -> Summary:
    """Agents, late in one direction; OVN, late in none; a third of which nothing was measured."""
    late = {"agents-vlan": (3.0, 0.0), "ovn-geneve": (0.01, 0.0), "unmeasured": (None, None)}
    found = [
        trial(base.trials[0], network, way, late_s)
        for network, each in late.items()
        for way, late_s in zip(WAYS, each, strict=True)
    ]
    return replace(base, networks=network_costs(found))


def test_the_network_with_the_least_blackout_is_first(summary: Summary) -> None:
    assert [(cost.network, cost.destination) for cost in summary.networks] == [
        ("ovn-geneve", "controller"),
        ("ovn-geneve", "compute"),
        ("agents-vlan", "controller"),
        ("agents-vlan", "compute"),
        ("unmeasured", "controller"),
        ("unmeasured", "compute"),
    ]


def test_the_table_says_which_steps_took_it(summary: Summary) -> None:
    table = networks.table(summary)
    assert table is not None
    assert all(len(row) == len(table["heads"]) for row in table["rows"])
    why = {(row[0], row[1]): row[-1] for row in table["rows"]}
    assert why["agents-vlan", "compute"] == "delivery 3.00 s", "the others are less than a tenth of it"
    assert why["ovn-geneve", "controller"] == "answer 200 ms, pause 100 ms"
    assert why["unmeasured", "compute"] == "—"
    assert [name for name, _ in table["bars"]][2] == "agents-vlan, compute → controller"
    assert len(table["bars"]) == 4


def test_the_steps_of_a_bar_add_up_to_the_blackout(summary: Summary) -> None:
    for cost in summary.networks[:4]:
        assert sum(cost.steps.values()) == pytest.approx(cost.costs["network_blackout_s"].median)


def test_programs_are_told_medians_and_steps(summary: Summary) -> None:
    public = summary_json(summary)["networks"]
    assert public[3]["medians"]["network_blackout_s"] == pytest.approx(3.3)
    assert public[3]["steps"] == {"pause": 0.1, "delivery": 3.0, "answer": 0.2}
    assert public[3]["factors"]["network"] == "agents-vlan"


def test_trials_that_failed_or_were_disturbed_are_in_no_row(base: Summary) -> None:
    good = [trial(base.trials[0], name, WAYS[0], 1.0) for name in ("agents-vlan", "ovn-geneve")]
    failed = replace(good[0], facts=replace(good[0].facts, status="failed"))
    factors = replace(good[0].facts.factors, disturbance="link-down")
    disturbed = replace(good[0], facts=replace(good[0].facts, factors=factors))
    assert [cost.trials for cost in network_costs([*good, failed, disturbed])] == [1, 1]
    assert network_costs([good[0], disturbed]) == []


def test_a_run_of_one_network_has_no_such_table(base: Summary) -> None:
    assert networks.table(base) is None
