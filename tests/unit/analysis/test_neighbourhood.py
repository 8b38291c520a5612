"""What told the link of the guest, and whether its router knew it, in words."""

from dataclasses import replace
from pathlib import Path

from faketrial import FACTORS, light, record

from migrascope.analysis.neighbourhood import neighbourhood
from migrascope.analysis.results import TrialResult
from migrascope.analysis.run import result_of
from migrascope.model.measured import Measured

BOTH = ["ipv4", "ipv6"]


def trial(folder: Path, families: list[str], values: dict[str, float], disturbance: str = "none") -> TrialResult:
    """A trial of the fake lab with these figures."""
    result = result_of(record(folder, light(blocks=1, families=families), FACTORS))
    result.metrics.update({key: Measured(value, "s", "t", samples=1) for key, value in values.items()})
    facts = replace(result.facts, factors=replace(FACTORS, disturbance=disturbance))
    return replace(result, facts=facts)


def test_what_was_heard_and_what_the_router_knew_is_counted(tmp_path: Path) -> None:
    seen = {"announced.frames.na": 10.0, "announced.frames.dad": 0.0, "announced.na_s": 0.2}
    right = {"router_neighbour.wrong_s": 0.0, "router_neighbour.wrong_ipv6_s": 0.0}
    late = {**right, "router_neighbour.wrong_ipv6_s": 1.5}
    trials = [trial(tmp_path, BOTH, seen | right), trial(tmp_path, BOTH, seen | late)]
    (found,) = neighbourhood(trials)
    assert found.text == (
        "After the switchover: unsolicited neighbour advertisements in 2 of 2 trials, the first after 200 ms (median); "
        "duplicate address detection in 0 of 2 trials. The router's entry of the guest was right from the stop on "
        "over IPv4 in 2 of 2 trials; over IPv6 in 1 of 2 trials, else wrong for up to 1.50 s."
    )
    assert found.label == "shown"


def test_each_cell_by_itself(tmp_path: Path) -> None:
    cells = {"none": 0.0, "misled": 0.25}
    trials = [trial(tmp_path, BOTH, {"router_neighbour.wrong_ipv6_s": wrong}, name) for name, wrong in cells.items()]
    first, second = neighbourhood(trials)
    begin = "After the switchover ({}): The router's entry of the guest was right from the stop on "
    assert first.text == f"{begin.format('none')}over IPv6 in 1 of 1 trials."
    assert second.text == f"{begin.format('misled')}over IPv6 in 0 of 1 trials, else wrong for up to 250 ms."


def test_where_nobody_looked_or_one_family_was_planned_nothing_is_said(tmp_path: Path) -> None:
    assert neighbourhood([trial(tmp_path, BOTH, {})]) == []
    assert neighbourhood([trial(tmp_path, ["ipv4"], {"announced.frames.na": 1.0})]) == []
