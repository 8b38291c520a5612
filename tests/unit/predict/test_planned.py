"""Plans that have not run: their guests as earlier trials of this machine sampled them, and what is refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from faketrial import light

from fakerun import fake_run
from migrascope.lab.fake.script import Script, default_script
from migrascope.model.plan import Plan
from migrascope.model.policy import BUILT_IN
from migrascope.model.schedule import TrialSpec, cells
from migrascope.predict.baselines import MODELS
from migrascope.predict.collected import FILE, collect
from migrascope.predict.fit import Fitted
from migrascope.predict.parameters import Parameters
from migrascope.predict.planned import Known, as_json, expected, guest_of, lines
from migrascope.predict.predictor import Predictor
from migrascope.predict.request import NotPredicted
from migrascope.predict.seen import in_runs, in_table
from migrascope.store.runfolder import RunFolder

ALONE = Predictor.alone(Fitted(MODELS[0], Parameters()), "it was fitted to no trials")
AXES = {"scenario": ["none"], "policy": ["pre-copy"], "memory": ["1GiB"]}


def scripts(spec: TrialSpec) -> Script:
    """The same guest dirties more with each trial: 10, 20, 30 MiB/s."""
    return replace(default_script(spec, 1), dirty_rate_Bps=10 * spec.number * 2.0**20)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    plan = light(probes={"dirty": True, "echo_rate": 50}, blocks=3, axes=AXES)
    return fake_run(tmp_path_factory.mktemp("planned") / "runs", plan, scripts)


@pytest.fixture(scope="module")
def table(run: RunFolder) -> pl.DataFrame:
    return collect(run, run.path.parent.parent / FILE, "")[1]


def planned(**axes: Any) -> Plan:
    return light(lab={"kind": "fake"}, axes={**AXES, **axes})


def machine(table: pl.DataFrame) -> str:
    found: str = table["machine"][0]
    return found


def test_a_guest_is_the_median_of_its_samples(table: pl.DataFrame) -> None:
    plan = planned()
    known = Known(plan, in_table(table), machine(table))
    (factors,) = cells(plan)
    request, trials = known.request(factors, plan.chosen_policies()["pre-copy"])
    assert trials == 3
    assert request.accelerator == "none"
    assert request.guest.held_bytes == 2**28
    assert request.guest.dirtying.within(1.0) == pytest.approx(20.5 * 2**20, rel=0.1)
    assert request.settings.deadline_s == plan.windows.limit


def test_runs_say_the_same_of_their_guests_as_a_table_of_them(run: RunFolder, table: pl.DataFrame) -> None:
    runs = run.path.parent
    there = list(in_runs(runs))
    assert there == list(in_table(table))
    assert len(there) == 3
    known = Known(planned(), [*in_table(table), *there], machine(table))
    (factors,) = cells(planned())
    assert known.request(factors, BUILT_IN["pre-copy"])[1] == 3, "a trial that is in both counts once"


def test_a_run_or_trial_that_cannot_be_read_has_no_guests(run: RunFolder, tmp_path: Path) -> None:
    shutil.copytree(run.path, tmp_path / "hurt")
    (tmp_path / "hurt/trials/2/trial.json").write_text("{")
    (tmp_path / "hurt/trials/3/sample.parquet").unlink()
    (tmp_path / "none").mkdir()
    (tmp_path / "none/manifest.json").write_text("[]")
    assert [seen.trial for seen in in_runs(tmp_path)] == [1]
    assert list(in_runs(tmp_path / "nowhere")) == []


def test_every_cell_is_predicted_or_says_why_not(table: pl.DataFrame) -> None:
    plan = planned(policy=["pre-copy", "nova", "ovirt", "xbzrle"], write_rate=["0B/s", "20MB/s"])
    rows = list(expected(plan, Known(plan, in_table(table), machine(table)), ALONE))
    assert len(rows) == 8
    good = {row.factors.policy for row in rows if row.prediction is not None}
    assert good == {"pre-copy", "nova"}
    whys = {(row.factors.policy, bool(row.factors.write_Bps)): row.why for row in rows if row.why}
    assert "no such guest was sampled on this machine" in whys["pre-copy", True]
    assert "ovirt changes the limit by how it goes" in whys["ovirt", False]
    assert "migrate it once with XBZRLE" in whys["xbzrle", False]
    text = "\n".join(lines(rows, "nothing"))
    assert "based on nothing" in text
    assert [text.count(why) for why in dict.fromkeys(row.why for row in rows if row.why)] == [1] * len(
        set(whys.values())
    )
    assert max(map(len, lines([row for row in rows if row.prediction is not None], "nothing"))) <= 80
    assert json.loads(json.dumps(as_json(plan, rows, "nothing")))["cells"][0]["sampled_trials"] == 3


def test_a_longer_link_limit_and_policy_are_the_plan_s_own(table: pl.DataFrame) -> None:
    slow, fast = planned(link=["250mbit"]), planned(link=["1gbit"])
    times = []
    for plan in (slow, fast):
        (row,) = expected(plan, Known(plan, in_table(table), machine(table)), ALONE)
        assert row.prediction is not None
        assert row.prediction.course.time_s is not None
        times.append(row.prediction.course.time_s)
    assert times[0] > 2 * times[1]


def test_another_machine_lab_or_accelerator_is_refused(table: pl.DataFrame) -> None:
    with pytest.raises(NotPredicted, match=r"no trial on this machine is known in the lab fake, only on .*dirty"):
        Known(planned(), in_table(table), "another machine")
    with pytest.raises(NotPredicted, match="no trial on this machine is known in the lab qemu; run a plan"):
        Known(light(axes=AXES), in_table(table), machine(table))
    with pytest.raises(NotPredicted, match="no trial on this machine"):
        Known(light(lab={"kind": "fake", "accelerator": "kvm"}, axes=AXES), in_table(table), machine(table))


def test_advice_is_of_one_guest() -> None:
    assert guest_of(planned(downtime_limit=["30ms", "300ms"]), None).downtime_limit_s == 0.03
    several = planned(write_rate=["0B/s", "20MB/s"])
    with pytest.raises(NotPredicted, match="has 2 guests and links, and advice is of one: say which with --trial N"):
        guest_of(several, None)
    assert guest_of(several, 2).write_Bps == 20e6
    with pytest.raises(NotPredicted, match="no cell 3, only 1 to 2"):
        guest_of(several, 3)


def test_a_cell_that_is_disturbed_or_copies_its_volume_is_refused(table: pl.DataFrame) -> None:
    plan = planned()
    (factors,) = cells(plan)
    known, policy = Known(plan, in_table(table), machine(table)), plan.chosen_policies()["pre-copy"]
    with pytest.raises(NotPredicted, match="no rule here for a disturbance"):
        known.request(replace(factors, disturbance="it"), policy)
    with pytest.raises(NotPredicted, match="no rule here for the copy of a volume"):
        known.request(replace(factors, storage="copied"), policy)


def test_a_table_of_trials_alone_says_nothing_of_guests(table: pl.DataFrame) -> None:
    with pytest.raises(NotPredicted, match="does not say of its trials facts, machine"):
        Known(planned(), in_table(table.drop("facts", "machine")), "any")
