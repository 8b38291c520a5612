"""The command between others: readers that go away, what comes through a pipe, odd terminals."""

import gzip
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from commandline import migrascope
from faketrial import small_plan

from captures import classic
from talks import echoes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a plan of one trial has run."""
    folder = tmp_path_factory.mktemp("pipes")
    ended = migrascope("run", small_plan(folder, "none"), "--lab", "fake", folder=folder)
    assert ended.code == 0, ended.stderr
    return folder


def test_a_reader_that_goes_away_is_no_error(folder: Path) -> None:
    command = f"{sys.executable} -P -m migrascope show -1 --json | head -n 1"
    seen = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    assert (seen.stdout, seen.stderr) == ("{\n", "")


def test_a_verdict_survives_a_reader_that_goes_away(folder: Path) -> None:
    limits = folder / "limits.toml"
    limits.write_text("[thresholds]\nvm_pause_s = { most = '1ms' }\nrounds = { most = '0' }\n")
    command = f"{sys.executable} -P -m migrascope check -1 --thresholds limits.toml | true; exit ${{PIPESTATUS[0]}}"
    seen = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert (seen.returncode, seen.stderr) == (3, "")  # too few trials to tell


def test_a_run_whose_reader_goes_away_writes_its_report(tmp_path: Path) -> None:
    plan = small_plan(tmp_path, "none")
    command = f"{sys.executable} -P -m migrascope run {plan} --lab fake | true; exit ${{PIPESTATUS[0]}}"
    seen = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert seen.returncode == 0, seen.stderr
    assert (tmp_path / "runs/latest/report.html").exists()


@pytest.mark.parametrize("environment", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C"}], ids=str)
def test_odd_terminals(folder: Path, environment: dict[str, str]) -> None:
    argv = [sys.executable, "-P", "-m", "migrascope", "show"]
    seen = subprocess.run(argv, cwd=folder, env=os.environ | environment, capture_output=True, timeout=60, check=False)
    assert (seen.returncode, seen.stderr) == (0, b"")
    assert b"VM pause" in seen.stdout


@pytest.mark.parametrize(("name", "packed"), [("-", bytes), ("/dev/stdin", gzip.compress)], ids=["plain", "gzip"])
def test_what_comes_through_a_pipe_has_figures_at_its_end(name: str, packed: Callable[[bytes], bytes]) -> None:
    argv = [sys.executable, "-P", "-m", "migrascope", "qos", name]
    whole = packed(classic(list(echoes({5}, 4)), nano=True))
    assert "199 packets" in subprocess.run(argv, input=whole, stdout=subprocess.PIPE, check=True).stdout.decode()
