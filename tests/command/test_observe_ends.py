"""How a running `observe` ends: by a signal, without a reader, on a full disk, and how it stands still."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@contextlib.contextmanager
def observing_it(port: int, *options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """`observe --json` as a process of its own, which has begun, and the pid of its prober."""
    argv = [sys.executable, "-m", "migrascope", "observe", "127.0.0.1", "--port", str(port), "--json", *options]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "begin"
        yield process, prober_of(process.pid)


def prober_of(pid: int) -> int:
    """The prober of an observation, when its first replies are recorded."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for child in children.read_text().split():
            if any(os.path.getsize(path) > 500 for path in spools_of(int(child))):
                return int(child)
        time.sleep(0.1)
    pytest.fail("the prober did not begin")


def spools_of(pid: int) -> list[str]:
    found = []
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(os.readlink(handle))
    return [path for path in found if "echo_reply@" in path]


@pytest.mark.parametrize(("options", "code"), [([], 0), (["--for", "10m"], 130), (["--until-quiet"], 130)])
def test_ctrl_c_ends_it_with_the_whole(port: int, options: list[str], code: int) -> None:
    with observing_it(port, *options) as (process, _):
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (code, "")
    assert json.loads(rest.splitlines()[-1])["event"] == "end"


def test_it_ends_when_nobody_reads_any_more(port: int) -> None:
    with observing_it(port, "--for", "10m") as (process, _):
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(120) == 0
        assert process.stderr.read() == ""


def test_being_terminated_ends_it_with_the_whole_and_takes_the_prober_along(port: int) -> None:
    with observing_it(port) as (process, prober):
        process.terminate()
        rest, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (130, "")
    assert json.loads(rest.splitlines()[-1])["event"] == "end"
    assert not Path(f"/proc/{prober}").exists()


def test_while_the_prober_itself_does_not_run_nothing_is_an_outage(port: int) -> None:
    with observing_it(port) as (process, prober):
        assert process.stdout is not None
        os.kill(prober, signal.SIGSTOP)
        time.sleep(1)
        os.kill(prober, signal.SIGCONT)
        told: list[dict[str, Any]] = []
        while not told or told[-1].get("seconds", 0) < 0.5:
            told.append(json.loads(process.stdout.readline()))
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=120)
    told += [json.loads(text) for text in rest.splitlines()]
    assert {event["event"] for event in told} == {"own-lateness", "end"}


def test_a_disk_that_fills_is_named_and_what_was_recorded_is_kept(port: int, tmp_path: Path) -> None:
    """As where the disk is full: no file may be longer than this, which that of the replies is soon."""
    observed_by = ["observe", "127.0.0.1", "--port", str(port), "--rate", "500", "--", "sleep", "60"]
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({60_000}, {60_000})); "
        f"sys.argv = ['migrascope', *{observed_by!r}]; from migrascope.cli.main import main; main()"
    )
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 4, ended.stderr
    assert "File too large" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert list((tmp_path / "runs").glob("*/trials/1*/*echo_reply*"))
