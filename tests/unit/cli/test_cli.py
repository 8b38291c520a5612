"""The command line as people use it: what it prints, how it ends, and never a traceback."""

import json
import os
import tempfile
from pathlib import Path

import pytest
from commandline import migrascope
from publickeys import PUBLIC

from migrascope.cli import show as show_command
from migrascope.cli.console import stderr
from migrascope.cli.main import app
from migrascope.model.kinds import KINDS

FACTORS = {"scenario", "policy", "memory_bytes", "link_bps", "downtime_limit_s", "disturbance", "instances"}
STATISTIC = {"median", "low", "high", "coverage", "min", "max", "n", "unit", "source"}
VERBS = [
    "run",
    "plan",
    "watch",
    "show",
    "report",
    "qos",
    "doctor",
    "calibrate",
    "clean",
    "schema",
    "testbed",
    "disturbances",
    "observe",
    "predict",
    "data",
    "advise",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `run --lab fake --quick` has run."""
    folder = tmp_path_factory.mktemp("cli")
    ended = migrascope("run", "--lab", "fake", "--quick", folder=folder)
    assert ended.code == 0, ended.stderr
    (folder / "said.txt").write_text(ended.stdout)
    (folder / "progress.txt").write_text(ended.stderr)
    return folder


def test_a_run_prints_its_table_and_ends_with_the_path_of_the_report(folder: Path) -> None:
    said = (folder / "said.txt").read_text().splitlines()
    for scenario in ("none", "offline", "online", "relay"):
        assert any(line.startswith(scenario) for line in said)
    last = said[-1].removeprefix("report: ")
    assert Path(last).name == "report.html"
    assert Path(last).is_file()
    assert "lab fake" in said[0]


def test_progress_goes_to_standard_error_with_a_line_for_each_trial(folder: Path) -> None:
    progress = (folder / "progress.txt").read_text()
    for number in range(1, 5):
        assert f"trial {number}/4" in progress


def test_show_json_is_the_public_interface(folder: Path) -> None:
    shown = json.loads(migrascope("show", "-1", "--json", folder=folder).stdout)
    assert {"schema", "lab", "accelerator", "qemu", "cells"} <= set(shown)
    assert {cell["factors"]["scenario"] for cell in shown["cells"]} == {"none", "offline", "online", "relay"}
    wanted = PUBLIC
    for cell in shown["cells"]:
        assert set(cell["factors"]) >= FACTORS
        assert cell["trials"] - cell["failed"] == 1
        for key in wanted:
            statistic = cell["metrics"][key]
            assert set(statistic) - {"reason"} >= STATISTIC, key
            assert (statistic["median"] is None) == bool(statistic.get("reason")), key


def test_a_run_is_found_by_age_prefix_and_path(folder: Path) -> None:
    name = (folder / "runs/latest").resolve().name
    texts = {migrascope("show", run, folder=folder).stdout for run in ("-1", name[:12], f"runs/{name}")}
    assert len(texts) == 1


def test_report_writes_the_same_report_again(folder: Path) -> None:
    path = (folder / "runs/latest/report.html").resolve()
    before = path.read_bytes()
    path.unlink()
    ended = migrascope("report", folder=folder)
    assert (ended.code, ended.stdout.strip()) == (0, str(path))
    assert path.read_bytes() == before


def test_a_finished_run_can_be_resumed_and_runs_nothing_again(folder: Path) -> None:
    ended = migrascope("run", "--resume", "-1", folder=folder)
    assert ended.code == 0
    assert "trial 1/4" not in ended.stderr


def test_an_unknown_run_names_those_that_there_are(folder: Path) -> None:
    ended = migrascope("show", "nothing", folder=folder)
    assert ended.code == 2
    assert (folder / "runs/latest").resolve().name in ended.stderr


def test_every_mistake_of_a_plan_is_listed(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('blocs = 1\n[axes]\nscenario = ["nun"]\nmemory = ["1 GiBit"]\n')
    ended = migrascope("plan", "mine.toml", folder=tmp_path)
    assert ended.code == 2
    assert ended.stdout == ""
    assert "mine.toml: 3 mistake(s)" in ended.stderr
    for words in ("blocs: unknown key; did you mean 'blocks'?", "axes.scenario.0: 'nun'", "axes.memory.0: '1 GiBit'"):
        assert words in ended.stderr


def test_plan_says_trials_time_disk_and_what_is_missing(tmp_path: Path) -> None:
    plain = migrascope("plan", "--quick", folder=tmp_path)
    assert plain.code == 0
    assert all(words in plain.stdout for words in ("4 trials", "host-a to host-b", "time: about", "missing here: "))
    words = " ".join(plain.stdout.split())
    assert "in every trial: policy pre-copy, memory 1GiB, link 1gbit, downtime_limit 300ms, cache warm" in words
    lines = plain.stdout.splitlines()
    head = next(
        place for place, line in enumerate(lines) if line.split() == ["trial", "block", "direction", "scenario"]
    )
    listed = [line.split() for line in lines[head + 1 : head + 5]]
    assert [line[:5] for line in listed] == [[str(at), "1", "host-a", "to", "host-b"] for at in range(1, 5)]
    assert {line[5] for line in listed} == {"none", "offline", "online", "relay"}
    told = json.loads(migrascope("plan", "website", "--json", folder=tmp_path).stdout)
    assert len(told["trials"]) == 34
    assert {"seconds", "disk_bytes", "free_bytes", "missing"} <= set(told)
    assert (told["boot_s"], told["boot_of"]) == (12.0, None)
    assert "boots of" not in words


def test_doctor_says_whether_the_lab_can_run(tmp_path: Path) -> None:
    ended = migrascope("doctor", "--json", folder=tmp_path)
    told = json.loads(ended.stdout)
    assert ended.code == (0 if told["ready"] else 4)
    checks = {check["name"]: check for check in told["checks"]}
    assert {"root", "/dev/net/tun", "mmdebstrap", "KVM", "memory", "cores", "space", "calibration"} <= set(checks)
    for check in told["checks"]:
        assert check["verdict"] != "fail" or check["remedy"] or not check["needed"], check


@pytest.mark.parametrize(
    "arguments", [["run", "--quick"], ["calibrate"], ["clean"], ["doctor"], ["testbed", "up"]], ids=" ".join
)
def test_without_root_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    ended = migrascope(*arguments, folder=tmp_path)
    assert ended.code == 4
    assert "sudo" in ended.stdout + ended.stderr


@pytest.mark.parametrize("what", ["plan", "tables"])
def test_schema_is_json(tmp_path: Path, what: str) -> None:
    assert json.loads(migrascope("schema", what, folder=tmp_path).stdout)


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_every_verb(tmp_path: Path, verb: str) -> None:
    ended = migrascope(verb, "--help", folder=tmp_path)
    assert ended.code == 0
    assert verb in ended.stdout


@pytest.mark.parametrize(
    "arguments",
    [["run", "--nonsense"], ["frobnicate"], ["schema", "nothing"], ["plan", "nothing"], ["run", "--lab", "nothing"]],
    ids=" ".join,
)
def test_a_usage_error_ends_with_2_and_says_what_is_wrong(tmp_path: Path, arguments: list[str]) -> None:
    ended = migrascope(*arguments, folder=tmp_path)
    assert ended.code == 2
    assert arguments[-1] in ended.stderr


def test_a_folder_that_cannot_be_written_ends_with_4_and_names_the_option(tmp_path: Path) -> None:
    ended = migrascope("run", "--lab", "fake", "--quick", "--runs", "/proc/x", folder=tmp_path)
    assert ended.code == 4
    assert "/proc/x" in ended.stderr
    assert "--runs" in ended.stderr


def test_an_error_of_ours_ends_with_70_and_keeps_its_traceback_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(show_command, "find_run", lambda *_: 1 // 0)
    ended = migrascope("show", folder=tmp_path)
    assert ended.code == 70
    assert "internal error" in ended.stderr
    assert "ZeroDivisionError" in next(tmp_path.glob("migrascope-*.txt")).read_text()


def test_a_table_is_shown_where_a_terminal_has_no_columns(folder: Path) -> None:
    ended = migrascope("show", folder=folder, columns="0")
    assert (ended.code, ended.stderr) == (0, "")
    assert "VM pause" in ended.stdout


@pytest.mark.parametrize("columns", ["0", "x", "²"])
def test_a_bad_call_is_explained_on_any_terminal(tmp_path: Path, columns: str) -> None:
    ended = migrascope("doctor", "--nonsense", folder=tmp_path, columns=columns)
    assert (ended.code, ended.stdout) == (2, "")
    assert ended.stderr.strip()


@pytest.mark.parametrize("argv", [["run", "--instances", "\x1b[2J"], ["\x1b[2J"], ["show", "--\x1b[2J"]])
def test_what_was_given_is_shown_and_not_obeyed(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        app(argv)
    said = capsys.readouterr()
    assert "[2J" in said.out + said.err
    assert "\x1b" not in said.out + said.err


def test_what_a_guest_wrote_is_shown_and_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    stderr().print("serial console: \x1b[2J\x1b]0;owned\x07 [bold red]panic[/] :smile:\r")
    assert capsys.readouterr().err == "serial console: \ufffd[2J\ufffd]0;owned\ufffd [bold red]panic[/] :smile:\ufffd\n"


def test_disturbances_say_what_each_can_and_what_is_missing(tmp_path: Path) -> None:
    done = migrascope("disturbances", "--json", folder=tmp_path)
    listed = json.loads(done.stdout)
    assert done.code == 0
    assert {item["kind"] for item in listed} == set(KINDS)
    assert all(set(item) == {"kind", "abilities", "phases", "available", "why"} for item in listed)
    assert all(item["available"] == (item["why"] == "") for item in listed)
    phases = {item["kind"]: item["phases"] for item in listed}
    assert "round:N" in phases["link-down"]
    assert phases["guest-memory"] == []
    done = migrascope("disturbances", "--lab", "openstack", "--json", folder=tmp_path)
    cloud = {load["kind"]: load for load in json.loads(done.stdout)}
    assert cloud["abort"]["phases"][0] == "accepted"
    assert next(item for item in listed if item["kind"] == "node-off")["why"] == "only on the lab openstack and libvirt"
    assert migrascope("disturbances", "--lab", "moon", folder=tmp_path).code == 2
