"""What goes wrong in a lab is a recorded failure or a clear error, and the lab is taken down."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.machine import COMMAND, GONE, LIGHT, migrascope, owned_by, traces
from migrascope.analysis.run import result_of
from migrascope.model.verdict import Verdict
from migrascope.node.paths import LABS
from migrascope.store.recording import TrialFacts
from migrascope.store.runfolder import RunFolder

pytestmark = pytest.mark.lab


def plan(folder: Path, text: str) -> Path:
    """A plan of one trial under a light load, with what the test adds."""
    path = folder / "plan.toml"
    path.write_text(f'name = "bad-luck"\nblocks = 1\n{text}\n{LIGHT}')
    return path


def only_trial(runs: Path) -> TrialFacts:
    recordings = RunFolder(runs / "latest").recordings()
    assert len(recordings) == 1
    return recordings[0].trial


def verdict_of(runs: Path) -> Verdict:
    """The verdict on the only trial."""
    (recording,) = RunFolder(runs / "latest").recordings()
    return result_of(recording).judgement.verdict


def test_a_guest_that_never_boots(tmp_path: Path) -> None:
    text = '[axes]\nscenario = ["none"]\n[windows]\nboot_limit = "500ms"'
    done = migrascope("run", str(plan(tmp_path, text)), "--runs", str(tmp_path / "runs"))
    trial = only_trial(tmp_path / "runs")
    assert (done.returncode, trial.status) == (4, "failed")
    assert trial.reason is not None
    assert "the guest boots and its website answers" in trial.reason
    assert "serial console" in trial.reason


def test_a_migration_that_never_converges(tmp_path: Path) -> None:
    text = '[axes]\nscenario = ["none"]\nlink = ["20mbit"]\n[windows]\nbefore = "1s"\nlimit = "2s"'
    done = migrascope("run", str(plan(tmp_path, text)), "--runs", str(tmp_path / "runs"))
    trial = only_trial(tmp_path / "runs")
    assert (done.returncode, trial.status) == (4, "not-converged")
    assert trial.reason is not None
    assert "still active after 2 s" in trial.reason
    assert verdict_of(tmp_path / "runs") == "intact"


@pytest.mark.parametrize(
    ("host", "verdict"), [("host-a", "guest lost"), pytest.param("host-b", "intact", marks=pytest.mark.soak)]
)
def test_a_qemu_that_dies_while_it_migrates(host: str, verdict: str, tmp_path: Path) -> None:
    text = '[axes]\nscenario = ["none"]\nlink = ["100mbit"]\n[windows]\nbefore = "1s"'
    runs = tmp_path / "runs"
    with (tmp_path / "log").open("wb") as log:
        run = subprocess.Popen(
            [*COMMAND, "run", str(plan(tmp_path, text)), "--runs", str(runs)], stdout=log, stderr=log
        )
    events = runs / "latest" / "trials" / "1.open" / "events.ndjson"
    wait_until(lambda: events.exists() and "migrate_request" in events.read_text(), run)
    (lab,) = owned_by(run.pid)
    os.kill(qemu_on(host, lab), signal.SIGKILL)
    assert run.wait(180) == 4, (tmp_path / "log").read_text()
    trial = only_trial(runs)
    assert trial.status == "failed"
    assert trial.reason is not None
    assert f"QEMU on {host} was killed by SIGKILL" in trial.reason
    assert verdict_of(runs) == verdict
    assert traces(lab) == GONE
    assert "Traceback" not in (tmp_path / "log").read_text()


def qemu_on(host: str, lab: str) -> int:
    """The pid of a lab's QEMU."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes()
        except OSError:
            continue
        if command.startswith(b"qemu-system") and f"{LABS / lab}/trial-1/{host}.control".encode() in command:
            return int(path.parent.name)
    raise AssertionError(f"no QEMU on {host}")


def wait_until(condition: object, run: subprocess.Popen[bytes]) -> None:
    assert callable(condition)
    end = time.monotonic() + 120
    while not condition():
        assert run.poll() is None, "the run has ended"
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_qemu_that_is_none(tmp_path: Path) -> None:
    path = plan(tmp_path, f'[lab]\nqemu_program = "{tmp_path / "none"}"')
    done = migrascope("run", str(path), "--runs", str(tmp_path / "runs"))
    assert done.returncode == 4
    assert "lab.qemu_program" in done.stderr


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that holds hardly more than a run's beginning."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk(tmp_path: Path, small_disk: Path) -> None:
    text = '[axes]\nscenario = ["none"]\n[windows]\nbefore = "3s"'
    done = migrascope("run", str(plan(tmp_path, text)), "--runs", str(small_disk))
    assert done.returncode == 4
    assert "No space left on device" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_two_runs_at_once(tmp_path: Path) -> None:
    path = plan(tmp_path, '[axes]\nscenario = ["none"]\n[windows]\nbefore = "1s"')
    both = [
        subprocess.Popen(
            [*COMMAND, "run", str(path), "--runs", str(tmp_path / name)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for name in ("one", "two")
    ]
    assert [run.wait(180) for run in both] == [0, 0]
    for name in ("one", "two"):
        assert only_trial(tmp_path / name).status == "ok"
