"""The table for a terminal: readable at 80, 120 and 200 columns, plain in a pipe."""

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from faketrial import light
from rich.console import Console
from syrupy.assertion import SnapshotAssertion

from fakerun import fake_run
from migrascope.analysis.networks import network_costs
from migrascope.analysis.run import analyse
from migrascope.analysis.summary import Summary
from migrascope.report.columns import COLUMNS
from migrascope.report.terminal.run_table import show


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    parts = {"probes": {"echo_rate": 200}, "visitors": {"new_rate": 10, "kept_rate": 10}}
    plan = light(blocks=6, lab={"kind": "fake"}, axes={"scenario": ["none", "relay"]}, **parts)
    return analyse(fake_run(tmp_path_factory.mktemp("runs"), plan))


def _shown(summary: Summary, width: int, terminal: bool = False) -> str:
    out = io.StringIO()
    show(summary, Console(file=out, width=width, force_terminal=terminal))
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 120, 200])
def test_table(summary: Summary, width: int, snapshot: SnapshotAssertion) -> None:
    text = _shown(summary, width)
    assert max(map(len, text.splitlines())) <= width
    assert "\x1b" not in text
    assert text.startswith("lab fake")
    assert "not measured: the page of this scenario holds no video" in text
    words = re.sub(r"\s+", " ", text)
    for column in COLUMNS:
        assert column.title.split(" ")[-1] in words
    assert text.split("\n\n(1)")[0] == snapshot


@pytest.mark.parametrize("width", [40, 60])
def test_narrow_terminals_get_more_tables(summary: Summary, width: int) -> None:
    assert max(map(len, _shown(summary, width).splitlines())) <= width


def test_colour_only_on_a_terminal_that_wants_it(summary: Summary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[32m" in _shown(summary, 80, terminal=True)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", _shown(summary, 80, terminal=True))


@pytest.mark.parametrize("width", [80, 200])
def test_what_networks_cost_is_readable_at_that_width(summary: Summary, width: int) -> None:
    """Each table begins with the networks' names and the directions."""
    alike = [trial for trial in summary.trials if trial.facts.factors.scenario == "none"]
    named = zip(alike, ("agents-vlan", "ovn-geneve-distributed"), strict=False)
    trials = [
        replace(trial, facts=replace(trial.facts, factors=replace(trial.facts.factors, network=network)))
        for trial, network in named
    ]
    text = _shown(replace(summary, networks=network_costs(trials)), width)
    assert max(map(len, text.splitlines())) <= width
    heads = re.findall(r"^Network +To .*$", text, re.M)
    assert (len(heads) > 1) == (width == 80)
    assert text.count("ovn-geneve-distributed") == len(heads)


@pytest.mark.parametrize("width", [80, 200])
def test_what_policies_cost_is_readable_at_that_width(tmp_path: Path, width: int) -> None:
    """All costs at 200 columns in one table, at 80 in several, each with the policies' names."""
    axes = {"scenario": ["none"], "policy": ["pre-copy", "advised", "nova"]}
    text = _shown(analyse(fake_run(tmp_path, light(blocks=2, lab={"kind": "fake"}, axes=axes))), width)
    assert max(map(len, text.splitlines())) <= width
    tables = re.findall(r"^.*Policy.*$", text, re.M)
    words = " ".join(text.split())
    assert all(title in words for title in ("Outcome", "lost", "destination"))
    assert (len(tables) > 2) == (width == 80)
