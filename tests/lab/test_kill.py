"""A run that is interrupted or killed at any moment leaves a machine that `clean` can clean, and finished trials."""

import hashlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kept import Kept
from lab.machine import COMMAND, GONE, LIGHT, foreign, migrascope, owned_by, traces
from migrascope.node.namespace import Namespace
from migrascope.node.process import Where
from migrascope.store.recording import Recording

pytestmark = pytest.mark.lab

MOMENTS = 20
PLAN = f"""
name = "kill"
blocks = 2
[axes]
scenario = ["offline"]
[windows]
before = "2s"
{LIGHT}
"""
_LONGEST_S = 40.0
Bystander = tuple[Namespace, subprocess.Popen[bytes]]


def moment(number: int) -> tuple[float, signal.Signals]:
    """When after its start a run is hit, and by what: seeded, spread over two trials, each signal in turn."""
    part = _LONGEST_S / MOMENTS
    after_s = part * number + random.Random(number).uniform(0, part)
    return after_s, (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)[number % 3]


def chosen_by_commit() -> int:
    """A moment, another for each commit."""
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout
    return random.Random(hashlib.sha256(head.encode()).hexdigest()).randrange(MOMENTS)


@pytest.fixture
def bystander() -> Iterator[Bystander]:
    """A namespace and a process in it that are not ours to touch."""
    space = Namespace(f"other-{os.getpid()}-{time.monotonic_ns() % 10**6}")
    space.create()
    process = subprocess.Popen(Where(space).command(["sleep", "infinity"]))
    yield space, process
    process.kill()
    process.wait()
    space.delete()


def hit(number: int, folder: Path, bystander: Bystander) -> str:
    """Runs a plan, hits it at the moment, cleans, and checks; gives a line for the table."""
    after_s, how = moment(number)
    plan, runs, log = folder / "kill.toml", folder / f"runs-{number}", folder / f"log-{number}"
    plan.write_text(PLAN)
    before = foreign()
    with log.open("wb") as output:
        run = subprocess.Popen([*COMMAND, "run", str(plan), "--runs", str(runs)], stdout=output, stderr=output)
        end = time.monotonic() + after_s
        labs: set[str] = set()
        while time.monotonic() < end and run.poll() is None:
            labs |= owned_by(run.pid)
            time.sleep(0.05)
        labs |= owned_by(run.pid)
        run.send_signal(how)
        code = run.wait(60)
    labs |= owned_by(run.pid)
    if how != signal.SIGKILL and code != 0:
        begun = labs or runs.exists()
        assert code in ((130,) if begun else (130, -how)), log.read_text()
        assert [traces(lab) for lab in labs] == [GONE] * len(labs), "an interrupted run cleans up by itself"
    assert migrascope("clean").returncode == 0
    for lab in labs:
        assert traces(lab) == GONE
    after = foreign()
    assert not [names - after[kind] for kind, names in before.items() if names - after[kind]]
    assert bystander[0].path.exists()
    assert bystander[1].poll() is None
    assert b"Traceback" not in log.read_bytes()
    sealed = [path for path in runs.glob("[0-9]*/trials/*") if path.name.isdigit()]
    if code == 130 and sealed:
        assert "interrupted; " in log.read_text()
    for path in sealed:
        assert Recording(path).trial.status == "ok", Recording(path).trial.reason
        assert Recording(path).table("echo_sent").height > 0
    if sealed:
        assert migrascope("show", str(sealed[0].parent.parent)).returncode == 0
    return f"{number:2}  {after_s:5.1f} s  {how.name:7}  {len(sealed)} finished trial(s) intact, nothing left"


def test_a_moment_of_this_commit(tmp_path: Path, bystander: Bystander) -> None:
    hit(chosen_by_commit(), tmp_path, bystander)


@pytest.mark.soak
def test_all_moments(tmp_path: Path, bystander: Bystander, kept: Kept) -> None:
    kept.write("\n".join(hit(number, tmp_path, bystander) for number in range(MOMENTS)))
