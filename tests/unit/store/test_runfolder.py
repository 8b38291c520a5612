"""The run folder: trials become final by one rename, and a run is found by what people call it."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from faketrial import PLAN, record

from migrascope.store.pcap import writer
from migrascope.store.pcap.reader import Capture
from migrascope.store.removal import NotRemoved
from migrascope.store.runfolder import RunError, RunFolder, find_run
from migrascope.study.plans import text_of


def create(folder: Path) -> RunFolder:
    return RunFolder.create(folder, text_of(PLAN), {"lab": "fake"})


def test_a_sealed_trial_reads_back(tmp_path: Path) -> None:
    recording = record(tmp_path)
    run = find_run(tmp_path, "-1")
    assert run.finished() == {1}
    assert [each.folder for each in run.recordings()] == [recording.folder]
    sealed = {path.name for path in recording.folder.iterdir()}
    assert not [name for name in sealed if name.endswith(".jsonl")]
    counts = json.loads((recording.folder / "trial.json").read_text())["tables"]
    assert {f"{table}.parquet" for table in counts} == {name for name in sealed if name.endswith(".parquet")}
    assert counts["echo_sent"] == recording.table("echo_sent").height > 0


def test_a_trial_that_was_killed_before_its_rename_is_not_there_and_starts_anew(tmp_path: Path) -> None:
    run = create(tmp_path)
    opened = run.open_trial(1)
    (opened / "echo_sent@echo.jsonl").write_text("torn")
    (opened / "trial.json").write_text("{}")
    assert run.finished() == set()
    assert run.recordings() == []
    assert list(run.open_trial(1).iterdir()) == []


def test_a_spool_whose_process_died_before_it_began_is_no_table(tmp_path: Path) -> None:
    first = record(tmp_path)
    run = find_run(tmp_path, "-1")
    opened = run.open_trial(2)
    (opened / "echo_sent@echo.jsonl").write_text("")
    sealed = run.seal_trial(opened, replace(first.trial, number=2))
    assert sealed.trial.tables == {}
    assert sealed.table("echo_sent").height == 0


def test_trials_come_in_their_numbers_order(tmp_path: Path) -> None:
    recording = record(tmp_path)
    for number in (10, 2):
        copy = recording.folder.with_name(str(number))
        copy.mkdir()
        (copy / "trial.json").write_bytes((recording.folder / "trial.json").read_bytes())
    assert [each.folder.name for each in find_run(tmp_path, "-1").recordings()] == ["1", "2", "10"]


def test_latest_points_at_the_newest(tmp_path: Path) -> None:
    create(tmp_path)
    newest = create(tmp_path)
    assert (tmp_path / "latest").resolve() == newest.path.resolve()


def test_a_run_is_found_by_path_prefix_and_age(tmp_path: Path) -> None:
    for name in ("20260101-000000-aaaa", "20260102-000000-bbbb"):
        create(tmp_path).path.rename(tmp_path / name)
    (tmp_path / "latest").unlink()
    assert find_run(tmp_path, "20260101").path.name.endswith("aaaa")
    assert find_run(tmp_path, str(tmp_path / "20260102-000000-bbbb")).path.name.endswith("bbbb")
    assert find_run(tmp_path, "-1").path.name.endswith("bbbb")
    assert find_run(tmp_path, "-2").path.name.endswith("aaaa")
    for name, words in {"2026": "fits 2 runs", "-3": "no run '-3'", "x": "no run 'x'.*aaaa"}.items():
        with pytest.raises(RunError, match=words):
            find_run(tmp_path, name)


def test_no_runs_at_all_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="migrascope run"):
        find_run(tmp_path / "nothing", "-1")


def test_a_folder_of_another_schema_is_refused(tmp_path: Path) -> None:
    run = create(tmp_path)
    (run.path / "manifest.json").write_text('{"schema": 99}')
    with pytest.raises(RunError, match="schema 99 is not known"):
        RunFolder(run.path)


@pytest.mark.parametrize("name", ["../../etc/cron.d/x", "/etc", "..", "", None, 7])
def test_a_run_whose_id_leads_elsewhere_is_refused(tmp_path: Path, name: object) -> None:
    run = create(tmp_path)
    (run.path / "manifest.json").write_text(json.dumps({**run.manifest, "id": name}))
    with pytest.raises(RunError, match="no valid id"):
        RunFolder(run.path)


def test_a_trial_does_not_begin_where_a_link_leads_elsewhere(tmp_path: Path) -> None:
    run = create(tmp_path)
    (tmp_path / "foreign" / "1.open").mkdir(parents=True)
    (tmp_path / "foreign" / "1.open" / "file").write_text("kept")
    (run.path / "trials").rmdir()
    (run.path / "trials").symlink_to(tmp_path / "foreign")
    with pytest.raises(NotRemoved, match="a link or a file is on the way"):
        run.open_trial(1)
    assert (tmp_path / "foreign" / "1.open" / "file").read_text() == "kept"


def test_a_capture_is_looked_for_in_its_trial_alone(tmp_path: Path) -> None:
    trial = record(tmp_path).folder / "trial.json"
    value = json.loads(trial.read_text())
    trial.write_text(json.dumps({**value, "files": {"capture@/../../../../foreign.gz": {}}, "checksum": ""}))
    (tmp_path / "foreign.gz").write_text("")
    assert find_run(tmp_path, "-1").recordings()[0].capture is None


def test_a_folder_that_cannot_be_written_says_which_option_helps() -> None:
    with pytest.raises(RunError, match=r"cannot write .*--runs"):
        create(Path("/proc/migrascope"))


def test_a_capture_is_kept_compressed_with_its_checksum(tmp_path: Path) -> None:
    run = create(tmp_path)
    opened = run.open_trial(1)
    (opened / "events.ndjson").write_text("")
    with (opened / "capture@client.pcapng").open("wb") as file:
        writer.write(file, "v0", [(at, bytes(60), 1500) for at in range(1000)])
    recording = run.seal_trial(opened, record(tmp_path / "another").trial)
    assert recording.capture is not None
    assert recording.capture.name == "capture@client.pcapng.gz"
    content = recording.capture.read_bytes()
    digest = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert recording.trial.files[recording.capture.name] == digest
    assert sum(len(frames) for frames in Capture(recording.capture).batches()) == 1000
    assert not list(recording.folder.glob("*.pcapng"))
