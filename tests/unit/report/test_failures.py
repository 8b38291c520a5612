"""The matrix of disturbances by phase."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from faketrial import light

from fakerun import fake_run
from migrascope.analysis.run import analyse
from migrascope.report.build import chosen_trials
from migrascope.report.page.failures import HEAD, _place, _sides, _what, lines, matrix

CUT = {"kind": "link-down", "target": "migration", "duration": "2s"}
TABLES = [
    {"name": "cut-late", "when": "round:10", **CUT},
    {"name": "cut-later", "when": "switchover", **CUT},
    {"name": "cut-early", "when": "round:2", **CUT},
    {"name": "slow", "kind": "link-rate", "target": "storage", "rate": "5mbit"},
]


def test_a_row_for_each_disturbance_and_a_column_for_each_phase_in_order(tmp_path: Path) -> None:
    names = ["none", *(str(table["name"]) for table in TABLES)]
    axes = {"scenario": ["none"], "disturbance": names}
    plan = light(blocks=1, axes=axes, disturbance=TABLES)
    summary = analyse(fake_run(tmp_path, plan))
    numbers = {trial.facts.factors.disturbance: trial.facts.number for trial in summary.trials}
    found = matrix(summary, {numbers["cut-early"]})
    assert found is not None
    assert found["phases"] == ["trial", "round:2", "round:10", "switchover"]
    assert [what for what, _ in found["rows"]] == ["link-down migration for 2 s", "slow"]
    cut = dict(found["rows"])["link-down migration for 2 s"]
    assert [[item["number"] for item in cell] for cell in cut] == [
        [], [numbers["cut-early"]], [numbers["cut-late"]], [numbers["cut-later"]],
    ]  # fmt: skip
    assert [item["linked"] for cell in cut for item in cell] == [True, False, False]
    verdicts = {item["number"]: item["verdict"] for cell in cut for item in cell}
    assert verdicts == {
        numbers["cut-early"]: "intact", numbers["cut-late"]: "unknown", numbers["cut-later"]: "intact",
    }  # fmt: skip


def test_the_copy_of_a_volume_is_before_the_memory_s_and_a_row_says_where_the_volume_was() -> None:
    phases = ["first-copy", "setup", "storage-copy", "window", "round:2"]
    assert sorted(phases, key=_place) == ["window", "storage-copy", "setup", "first-copy", "round:2"]
    cut = {"name": "cut", "when": "storage-copy", "offset": 0.0, **CUT, "duration": 2.0}
    plan = {"axes": {"policy": ["pre-copy"], "storage": ["shared", "copied"]}, "disturbance": [cut]}
    factors = SimpleNamespace(policy="pre-copy", storage="copied", disturbance="cut")
    trial = cast(Any, SimpleNamespace(facts=SimpleNamespace(plan=plan, factors=factors)))
    assert _what(trial) == ("copied: link-down migration for 2 s", "storage-copy")
    plan["axes"] = {"policy": ["pre-copy"], "network": ["agents-vlan", "ovn-geneve"]}
    factors.network = "ovn-geneve"
    assert _what(trial) == ("ovn-geneve: link-down migration for 2 s", "storage-copy")


def test_every_disturbed_trial_has_its_time_axis(tmp_path: Path) -> None:
    axes = {"scenario": ["none"], "disturbance": ["none", "cut-late"]}
    plan = light(blocks=3, axes=axes, disturbance=TABLES[:1])
    summary = analyse(fake_run(tmp_path, plan))
    disturbed = {trial.facts.number for trial in summary.trials if trial.facts.factors.disturbance != "none"}
    assert len(disturbed) == 3
    chosen = chosen_trials(summary, 1)
    assert disturbed < set(chosen)
    assert len(chosen) == 4


def test_the_matrix_in_words_says_what_an_operator_did(tmp_path: Path) -> None:
    plan = light(blocks=1, axes={"scenario": ["none"], "disturbance": ["cut-late"]}, disturbance=TABLES[:1])
    summary = analyse(fake_run(tmp_path, plan))
    (trial,) = summary.trials
    place = trial.facts.proof["place"].evidence.replace(trial.facts.destination, "destination")
    *words, cell = lines(summary)
    assert words == [HEAD, "link-down migration for 2 s"]
    missed = "unknown, not disturbed as planned"
    cell, nothing = cell.removesuffix("; operator: nothing"), cell
    assert re.fullmatch(rf"  round:10: {missed}, silent [0-9]\.[0-9][0-9] s; {re.escape(place)}", cell)
    assert nothing == f"{cell}; operator: nothing"
    trial.facts.facts["rescue"] = {"operator": ["reset-state", "hard reboot"]}
    trial.facts.facts["healing"] = {"lab": "rebuilt"}
    assert lines(summary)[-1] == f"{cell}; operator: reset-state, hard reboot; lab rebuilt"
    trial.facts.facts["rescue"] = {"operator": []}
    trial.facts.facts["healing"] = {"lab": "healed"}
    assert lines(summary)[-1] == f"{cell}; operator: nothing"


def test_trials_alike_are_one_line_whichever_way_they_went(tmp_path: Path) -> None:
    axes = {"scenario": ["none"], "disturbance": ["cut-late"]}
    plan = light(blocks=4, axes=axes, disturbance=TABLES[:1])
    summary = analyse(fake_run(tmp_path, plan))
    assert len({trial.facts.destination for trial in summary.trials}) == 2
    (cell,) = lines(summary)[2:]
    assert cell.startswith("  round:10: unknown ×4, not disturbed as planned, silent ")
    summary.trials[1].facts.facts["rescue"] = {"operator": ["hard reboot"]}
    cell, apart = lines(summary)[2:]
    assert "unknown ×3" in cell
    assert apart.endswith("; operator: hard reboot")


def test_a_host_s_name_within_another_word_is_left() -> None:
    facts = cast(Any, SimpleNamespace(source="compute", destination="controller"))
    assert _sides("restart nova-compute; compute running, controller: ended", facts) == (
        "restart nova-compute; source running, destination: ended"
    )


def test_the_source_is_named_first_whichever_host_it_was() -> None:
    for source, destination in (("host-a", "host-b"), ("host-b", "host-a")):
        facts = cast(Any, SimpleNamespace(source=source, destination=destination))
        states = {source: "running", destination: "no domain"}
        told = ", ".join(f"{host}: {states[host]}" for host in sorted(states))
        assert _sides(told, facts) == "source: running, destination: no domain"


def test_policies_are_rows_of_their_own_where_there_are_several(tmp_path: Path) -> None:
    held = {**TABLES[1], "hold": True}
    axes = {"scenario": ["none"], "policy": ["pre-copy", "post-copy"], "disturbance": ["cut-later"]}
    plan = light(blocks=1, axes=axes, disturbance=[held])
    found = matrix(analyse(fake_run(tmp_path, plan)), ())
    assert found is not None
    assert [what for what, _ in found["rows"]] == [
        f"{policy}: link-down migration for 2 s (switchover held)" for policy in ("post-copy", "pre-copy")
    ]


def test_a_row_says_dose_and_time_and_beside_them_whom_and_when(tmp_path: Path) -> None:
    aimed = {"when": "setup", "duration": "500ms"}
    tables = [
        {"name": "alone", "kind": "link-down", "target": "storage", "host": "source", "offset": "100ms", **aimed},
        {"name": "one-way", "kind": "link-loss", "target": "migration", "way": "from-source", "loss": "1%", **aimed},
        {"name": "full", "kind": "host-memory", "target": "destination", "working_set": "1GB", **aimed},
    ]
    axes = {"scenario": ["none"], "disturbance": [table["name"] for table in tables]}
    found = matrix(analyse(fake_run(tmp_path, light(blocks=1, axes=axes, disturbance=tables))), ())
    assert found is not None
    assert [what for what, _ in found["rows"]] == [
        "host-memory destination 1.00 GB for 0.5 s",
        "link-down storage for 0.5 s (source alone, 0.1 s later)",
        "link-loss migration 1 % for 0.5 s (from the source only)",
    ]


def test_an_undisturbed_run_has_none(tmp_path: Path) -> None:
    plan = light(blocks=1, axes={"scenario": ["none"]})
    summary = analyse(fake_run(tmp_path, plan))
    assert matrix(summary, []) is None
    assert lines(summary) == []
