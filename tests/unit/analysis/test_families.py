"""IPv6 against IPv4 over a run: the difference within each trial, its interval, in the table and in words."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from faketrial import light
from rich.console import Console

from fakerun import fake_run
from migrascope.analysis.compare import NotComparable, compare
from migrascope.analysis.results import Finding
from migrascope.analysis.run import analyse
from migrascope.analysis.summary import Summary
from migrascope.lab.fake.script import Script, default_script
from migrascope.model.schedule import TrialSpec
from migrascope.report.page.sections import costs
from migrascope.report.terminal.run_table import show

BOTH: dict[str, Any] = {"families": ["ipv4", "ipv6"]}
LATER_S = 0.4
EFFECT = "network_blackout_ipv6_difference_s"


def run(folder: Path, blocks: int, later_s: float = LATER_S, **parts: Any) -> Summary:
    plan = light(blocks=blocks, lab={"kind": "fake"}, axes={"scenario": ["none"]}, **parts)

    def script(spec: TrialSpec) -> Script:
        return replace(default_script(spec, plan.seed), later_over_ipv6_s=later_s)

    return analyse(fake_run(folder, plan, script))


@pytest.fixture(scope="module")
def dual(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return run(tmp_path_factory.mktemp("runs"), 6, **BOTH)


def finding(summary: Summary) -> Finding:
    (found,) = [finding for finding in summary.findings if finding.topic == "family"]
    return found


def test_the_interval_is_of_the_differences_within_trials(dual: Summary) -> None:
    (cell,) = dual.cells
    effect = cell.metrics[EFFECT]
    assert effect.n == 6
    assert effect.coverage == pytest.approx(1 - 2 / 2**6)
    assert effect.low is not None
    assert effect.high is not None
    assert effect.low - 0.04 <= LATER_S <= effect.high + 0.04


def test_a_sure_difference_is_a_conclusion(dual: Summary) -> None:
    found = finding(dual)
    assert found.label == "shown"
    assert found.text.startswith("IPv6 against IPv4, paired within 6 trials: network blackout longer by 4")
    assert found.evidence["network_blackout_s"]["n"] == 6


def test_without_a_difference_none_is_sure(tmp_path: Path) -> None:
    found = finding(run(tmp_path, 6, 0.0, **BOTH))
    assert found.label == "open"
    assert found.text == "IPv6 against IPv4, paired within 6 trials: no difference is sure."


def test_of_too_few_trials_nothing_is_concluded(tmp_path: Path) -> None:
    found = finding(run(tmp_path, 2, **BOTH))
    assert found.text == "Nothing can be concluded on IPv6 against IPv4: fewer than 6 trials with both."


def test_the_table_and_the_report_have_its_columns(dual: Summary) -> None:
    out = io.StringIO()
    show(dual, Console(file=out, width=400))
    heads = ["Network blackout, IPv6", "Network blackout, IPv6 less IPv4", "HTTP blackout, new, IPv6 less IPv4"]
    shown = costs(dual, [])
    titles = [column.title for column in shown["columns"]]
    assert [head for head in heads if head not in titles] == []
    assert "less" in out.getvalue()
    entries = dict(zip(titles, (entry for entry, _ in shown["rows"][0]["entries"]), strict=True))
    assert entries["Network blackout, IPv6 less IPv4"].interval


def test_a_run_of_ipv4_has_neither(tmp_path: Path) -> None:
    plain = run(tmp_path, 1)
    assert [finding.text for finding in plain.findings if finding.topic == "family"] == []
    assert [column.title for column in costs(plain, [])["columns"] if "IPv6" in column.title] == []


def test_runs_of_other_families_are_under_other_loads(dual: Summary, tmp_path: Path) -> None:
    plain = run(tmp_path, 1)
    with pytest.raises(NotComparable, match=r"probes/s: 50\.0 and 100\.0"):
        compare(plain, dual)
    assert compare(plain, dual, force=True).facts["families"] == ("ipv4", "ipv4, ipv6")
