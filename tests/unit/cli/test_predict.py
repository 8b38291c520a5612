"""`migrascope predict RUN` on runs of the fake lab."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from commandline import migrascope
from faketrial import light

from fakerun import fake_run
from migrascope.cli import predict
from migrascope.lab.fake.script import Failure, Script, default_script
from migrascope.model.measured import Measured
from migrascope.model.schedule import TrialSpec
from migrascope.predict import kept, verified
from migrascope.predict.baselines import MODELS
from migrascope.predict.conformal import Margin
from migrascope.predict.dataset import read
from migrascope.predict.fit import Fitted, Scope
from migrascope.predict.learnt import Learnt
from migrascope.predict.parameters import Parameters
from migrascope.predict.predictor import FIGURES, Predictor
from migrascope.predict.runs import lines, rows_of
from migrascope.store.runfolder import find_run

AXES = {"scenario": ["none"], "policy": ["pre-copy", "post-copy", "xbzrle"]}


def scripts(spec: TrialSpec) -> Script:
    failure: Failure | None = "not-converged" if spec.factors.policy == "post-copy" else None
    return replace(default_script(spec, 1), dirty_rate_Bps=20 * 2.0**20, failure=failure)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was sampled."""
    made = tmp_path_factory.mktemp("predict")
    short = {"before": "1s", "limit": "9s"}
    plan = light(lab={"kind": "fake"}, probes={"dirty": True, "echo_rate": 50}, blocks=1, axes=AXES, windows=short)
    fake_run(made / "runs", plan, scripts)
    return made


def test_it_shows_predicted_beside_measured_and_why_one_is_missing(folder: Path) -> None:
    ended = migrascope("predict", folder=folder)
    assert ended.code == 0
    table, _, said = ended.stdout.partition("\n\n")
    names = [line for line in table.splitlines() if not line.startswith("  ")]
    assert {name.split()[1] for name in names} == {"pre-copy", "post-copy"}
    below = dict(zip(names, re.split(r"^\d+ .*$", table, flags=re.M)[1:], strict=True))
    for name, text in below.items():
        ends = r"ends \d+ %, it did" + (" not" if "post-copy" in name else "")
        assert re.search(rf"time [^,]+, was .*pause [^,]+, was .*data [^,]+, was .*{ends}$", text.strip(), re.S)
        assert text.count("was -") == (3 if "post-copy" in name else 0)
    assert max(map(len, table.splitlines())) <= 80
    assert "no intervals: QEMU's rule alone: it was fitted to no trials\nbased on QEMU's rule alone" in said
    assert "cannot be predicted, because how much of its pages a guest changes is not known" in said


def test_its_json_has_the_same_in_base_units(folder: Path) -> None:
    ended = migrascope("predict", "-1", "--json", folder=folder)
    assert ended.code == 0
    found = json.loads(ended.stdout)
    assert found["schema"] == 1
    ended_trials = [trial for trial in found["trials"] if trial["measured"]["ended"] and trial["predicted"]]
    (trial,) = ended_trials
    value = trial["predicted"]["time_s"]["value"]
    assert found["errors"]["time_s"]["n"] == 1
    assert found["errors"]["time_s"]["p50"] == pytest.approx(abs(value / trial["measured"]["time_s"] - 1))
    assert trial["predicted"]["time_s"]["interval"] is None
    assert "fitted to no trials" in trial["predicted"]["time_s"]["why"]
    missing = [trial for trial in found["trials"] if trial["predicted"] is None]
    assert [trial["why"][:19] for trial in missing] == ["cannot be predicted"]


def test_it_says_from_when_times_count_where_libvirt_takes_some_first(folder: Path) -> None:
    rows = rows_of(find_run(folder / "runs", "-1"), Predictor.alone(Fitted(MODELS[0], Parameters()), "nothing"))
    assert not [line for line in lines(rows, "nothing") if "libvirt" in line]
    assert not [row for row in rows if "before_qemu_s" in row.as_json()]
    taken = {f"phase_s.{name}": Measured(0.1, "s", "libvirt_log") for name in ("connect", "begin", "prepare")}
    taken_by = [replace(row, result=replace(row.result, metrics={**row.result.metrics, **taken})) for row in rows]
    assert "times are since libvirt asked QEMU, 300 ms after the request" in lines(taken_by, "nothing")
    assert [row.as_json()["before_qemu_s"] for row in taken_by] == [pytest.approx(0.3)] * len(rows)


def test_it_draws_predicted_against_measured(folder: Path) -> None:
    assert migrascope("predict", "--picture", "seen.svg", folder=folder).code == 0
    text = (folder / "seen.svg").read_text()
    assert text.startswith("<svg")
    for words in ("Migration time [s], measured", "VM pause [ms], measured", "Data [MB], measured", "predicted"):
        assert words in text
    again = migrascope("predict", "--picture", "seen.svg", folder=folder)
    assert (again.code, "seen.svg is there already" in again.stderr) == (2, True)
    nowhere = migrascope("predict", "--picture", "nowhere/seen.svg", folder=folder)
    assert (nowhere.code, "cannot be written" in nowhere.stderr) == (2, True)
    assert migrascope("predict", "policies", "--picture", "plan.svg", folder=folder).code == 2


def test_a_run_without_samples_cannot_be_predicted(tmp_path: Path) -> None:
    fake_run(tmp_path / "runs", light(blocks=1, axes={"scenario": ["none"]}))
    ended = migrascope("predict", folder=tmp_path)
    assert ended.code == 3
    assert "set probes.dirty = true in the plan" in ended.stdout


def test_a_run_that_is_not_there_is_named(tmp_path: Path) -> None:
    ended = migrascope("predict", "2020", folder=tmp_path)
    assert ended.code == 2
    assert ended.stdout == ""


def test_a_run_becomes_data_once(folder: Path) -> None:
    ended = migrascope("data", "-1", folder=folder)
    assert ended.code == 0
    assert ended.stdout.strip() == "data/trials.parquet: 3 trials added, 3 in all"
    names = {"trials.parquet", "README.md", "dictionary.csv", "fitted.json"}
    assert {path.name for path in (folder / "data").iterdir()} == names
    assert "0 trials added, 3 in all" in migrascope("data", "-1", folder=folder).stdout


def test_what_was_not_fitted_is_refused_with_what_would_help(folder: Path) -> None:
    """All trials of the table are of the run that is predicted, so that none is left to fit to."""
    migrascope("data", "-1", folder=folder)
    ended = migrascope("predict", "--data", "data", folder=folder)
    assert ended.code == 3
    assert "the accelerator none was not fitted: there are no trials with it" in ended.stdout
    assert "add trials: migrascope data RUN" in ended.stdout
    missing = migrascope("predict", "--data", "nowhere.parquet", folder=folder)
    assert missing.code == 2
    assert "nowhere.parquet cannot be read" in missing.stderr


def test_what_a_table_taught_is_used_without_a_word_where_it_is_here(tmp_path: Path, folder: Path) -> None:
    shutil.copytree(folder / "runs", tmp_path / "runs", symlinks=True)
    migrascope("data", "-1", folder=tmp_path)
    table = tmp_path / "data" / "trials.parquet"
    requests = [trial.request for trial in read(table)]
    fitted = Fitted(MODELS[0], Parameters(), Scope.of(requests), 77, frozenset(["one"]))
    taught = Learnt({"none": Predictor(fitted, dict.fromkeys(FIGURES, Margin(0.2, 20)))}, {}, frozenset())
    kept.keep(table.with_name("fitted.json"), taught, table)
    ended = migrascope("predict", folder=tmp_path)
    assert ended.code == 0
    assert "based on 77 trials of 1 cell, none, on unknown machines (data/trials.parquet)" in ended.stdout
    assert "within their intervals of 90 %" in ended.stdout
    assert migrascope("predict", "--data", "data", folder=tmp_path).code == 0


def test_advice_names_a_policy_and_how_it_is_set(folder: Path) -> None:
    ended = migrascope("advise", "--mind", "time", "--never-lose-guest", folder=folder)
    assert ended.code == 0
    assert max(map(len, ended.stdout.splitlines())) <= 80
    said = " ".join(ended.stdout.split())
    assert said.count("advice: ") == 1
    assert ", for time; how much more it may cost than another is not known" in said
    assert "migrate_set_parameter downtime-limit" in ended.stdout
    assert "virsh migrate --live" in ended.stdout
    assert "live_migration_permit_post_copy = False" in ended.stdout
    found = json.loads(migrascope("advise", "--json", folder=folder).stdout)
    assert found["wish"] == {"mind": "blackout", "must_end_within_s": None, "never_lose": False}
    assert found["options"][0]["cost"] == min(each["cost"] for each in found["options"] if each["cost"] is not None)
    assert found["regret"] is None


def test_advice_on_what_is_not_there_is_refused(folder: Path) -> None:
    assert migrascope("advise", "--trial", "77", folder=folder).code == 2
    assert migrascope("advise", "--must-end-within", "0", folder=folder).code == 2
    assert migrascope("advise", "--mind", "luck", folder=folder).code == 2


def test_a_plan_is_not_predicted_without_earlier_trials(tmp_path: Path) -> None:
    for arguments in (("policies",), ("--lab", "fake"), ("limits", "--lab", "fake")):
        ended = migrascope("predict", *arguments, folder=tmp_path)
        assert ended.code == 3
        assert "cannot be predicted, because no trial on this machine is known in the lab " in ended.stderr
        assert "run a plan with such a guest and probes.dirty = true, or name the folder of earlier runs (--runs)" in (
            ended.stderr
        )
    assert migrascope("predict", "policies", "--lab", "nowhere", folder=tmp_path).code == 2
    assert migrascope("predict", "nowhere.toml", folder=tmp_path).code == 2
    assert migrascope("advise", "policies", folder=tmp_path).code == 3


def test_a_plan_is_not_predicted_by_another_machine_s_trials(folder: Path) -> None:
    migrascope("data", "-1", folder=folder)
    ended = migrascope("predict", "policies", "--lab", "fake", "--data", "data", folder=folder)
    assert ended.code == 3
    assert "no trial on this machine is known in the lab fake, only on " in ended.stderr


def test_a_plan_is_predicted_by_the_runs_of_this_machine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = find_run(folder / "runs", "-1").manifest["environment"]
    monkeypatch.setattr(predict, "environment", lambda: made)
    ended = migrascope("predict", "website", "--lab", "fake", "--json", folder=folder)
    assert ended.code == 0
    assert [cell["sampled_trials"] for cell in json.loads(ended.stdout)["cells"]][:2] == [3, 0]
    (folder / "mine.toml").write_text('name = "mine"\n[lab]\nkind = "fake"\n[axes]\nscenario = ["none"]\n')
    assert migrascope("advise", "mine.toml", "--json", folder=folder).code == 0


def test_advice_is_verified_by_a_run_of_its_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verified, "BLOCKS", 1)
    ended = migrascope("advise", "-1", "--mind", "time", "--verify", "--json", folder=folder)
    found = json.loads(ended.stdout)
    assert ended.code == {True: 0, False: 1, None: 3}[found["right"]]
    assert [each["default"] for each in found["against"]] == ["qemu-default", "nova-default"]
    assert {each["blocks"] for each in found["against"]} == {1}
    assert (folder / "runs" / found["run"]).is_dir()
    assert (
        "guest-speed is no figure that is measured"
        in migrascope("advise", found["run"], "--mind", "guest-speed", "--verify", folder=folder).stderr
    )
