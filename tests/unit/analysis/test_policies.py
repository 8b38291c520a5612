"""What policies cost: the front that nothing beats, failures as outcomes, regimes of the downtime limit."""

from dataclasses import replace
from pathlib import Path

import pytest
from faketrial import SCRIPT, light

from fakerun import fake_run
from migrascope.analysis.export import summary_json
from migrascope.analysis.policies import costs
from migrascope.analysis.run import analyse
from migrascope.analysis.summary import Summary
from migrascope.lab.fake.script import Script
from migrascope.model.schedule import TrialSpec
from migrascope.report.page import policies

PLAN = light(blocks=1, axes={"scenario": ["none"], "policy": ["pre-copy", "xbzrle", "multifd", "post-copy"]})


def scripted(spec: TrialSpec) -> Script:
    """pre-copy: slow with a short outage; multifd: fast with a long one; xbzrle: worse than pre-copy in both; post-copy
    does not converge."""
    name = spec.factors.policy
    copied, gap = {"pre-copy": (3.0, 0.2), "multifd": (1.0, 0.4), "xbzrle": (4.0, 0.5), "post-copy": (1.0, 0.1)}[name]
    failure = "not-converged" if name == "post-copy" else None
    changes = {"precopy_s": copied, "gap_s": gap, "lost_s": gap, "pause_s": gap, "failure": failure}
    return Script(**{**vars(SCRIPT), **changes})


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return analyse(fake_run(tmp_path_factory.mktemp("runs"), PLAN, scripted))


def test_the_front_holds_what_nothing_beats(summary: Summary) -> None:
    assert {cost.cell.factors.policy: cost.front for cost in summary.policies} == {
        "pre-copy": True,
        "multifd": True,
        "xbzrle": False,
        "post-copy": False,
    }


def test_a_migration_that_does_not_converge_is_an_outcome(summary: Summary) -> None:
    outcomes = {cost.cell.factors.policy: cost.outcomes for cost in summary.policies}
    assert outcomes["post-copy"] == {"not-converged": 1}
    assert outcomes["pre-copy"] == {"ok": 1}


def test_programs_are_told_the_costs_and_where_the_limit_decided(summary: Summary) -> None:
    public = {policy["policy"]: policy for policy in summary_json(summary)["policies"]}
    assert list(public["pre-copy"]["outcomes"].items()) == [("ok", 1)]
    assert {name: item["front"] for name, item in public.items()}["multifd"]
    assert public["pre-copy"]["limit_decided"] == {"limit_decided": 0, "unknown": 0, "of": 1}
    limited = [replace(cell, limited=cell.trials - cell.failed) for cell in summary.cells]
    told = summary_json(replace(summary, policies=costs(limited, summary.trials)))
    assert told["policies"][0]["limit_decided"]["limit_decided"] == 1


def test_the_table_and_the_picture_have_a_row_for_each(summary: Summary) -> None:
    table = policies.table(summary)
    assert table is not None
    assert all(len(row) == len(table["heads"]) for row in table["rows"])
    assert [row[1] for row in table["rows"]].count(policies.FRONT) == 2
    picture = policies.picture(summary)
    assert picture is not None
    placed = [row for row in picture["data"]["values"] if "policy" in row]
    assert {row["policy"] for row in placed} == {"pre-copy", "xbzrle", "multifd"}
    assert [row["never"] for row in picture["data"]["values"] if row not in placed] == [["post-copy: 1 not-converged"]]


def test_a_run_of_one_policy_has_no_such_table(tmp_path: Path) -> None:
    plan = PLAN.model_copy(update={"axes": PLAN.axes.model_copy(update={"policy": ["pre-copy"]})})
    item = analyse(fake_run(tmp_path, plan))
    assert policies.table(item) is None
    assert policies.picture(item) is None


def test_each_limit_has_its_sentence(tmp_path: Path) -> None:
    doses = ["0B", "128MiB", "256MiB", "512MiB"]
    axes = {"scenario": ["none", "relay"], "downtime_limit": ["300ms", "10s"], "resident": doses}
    plan = light(blocks=1, axes=axes)

    def script(spec: TrialSpec) -> Script:
        data = 100e6 + spec.factors.resident_bytes + 1e5 * spec.number
        stopped = data / 125e6 if spec.factors.downtime_limit_s > 1 else 0.25
        changes = {"pause_s": stopped + 0.02, "gap_s": stopped + 0.05, "lost_s": stopped, "data_bytes": round(data)}
        return Script(**{**vars(SCRIPT), **changes, "reported_downtime_s": stopped})

    found = [f for f in analyse(fake_run(tmp_path, plan, script)).findings if f.topic == "regime"]
    assert [finding.verdict for finding in found] == ["unknown", "pass"]
    assert found[0].text.startswith("Under a limit of 300 ms: no effect of the data on the VM pause is shown")
    assert "downtime limit 300 ms: decided in 8 of 8 trials" in found[0].text
    assert found[0].evidence["limit_decided"] == 8
    assert found[1].text.startswith("Stop-and-copy: more data, more downtime; each further 100 MB")
    assert found[1].evidence["slope"] == pytest.approx(1 / 125e6, rel=0.02)
