"""`watch` and `run --watch` as people use them: on any terminal, through a pipe, beside a run and afterwards."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from faketrial import light, small_plan

from fakerun import fake_run
from migrascope.store.runfolder import RunFolder

COMMAND = [sys.executable, "-P", "-m", "migrascope"]
LIMIT_S = 120.0
COLOUR = re.compile(rb"\x1b\[[0-9;]*(?:3[0-7]|38|4[0-7]|48|9[0-7])[0-9;]*m")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return fake_run(tmp_path_factory.mktemp("runs"), light(blocks=1, axes={"scenario": ["none", "online"]}))


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, *arguments: str, size: tuple[int, int] = (80, 24), environment: Mapping[str, str] = {}) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        self.before = termios.tcgetattr(theirs)
        kept = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS", "LC_ALL")}
        self.theirs = theirs
        self.process = subprocess.Popen(
            [*COMMAND, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            env={**kept, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **environment},
        )  # fmt: skip
        self.shown = b""

    def until(self, pattern: bytes) -> None:
        """Reads until that was written."""
        end = time.monotonic() + LIMIT_S
        while not re.search(pattern, self.shown):
            assert time.monotonic() < end, self.shown[-2000:]
            assert self._read() or self.process.poll() is None, self.shown[-2000:]

    def press(self, key: bytes) -> None:
        os.write(self._ours, key)

    def end(self) -> int:
        """Its exit code, when it has ended by itself."""
        end = time.monotonic() + LIMIT_S
        while self.process.poll() is None:
            assert time.monotonic() < end, self.shown[-2000:]
            self._read()
        while self._read():
            pass
        self.after = termios.tcgetattr(self.theirs)
        os.close(self.theirs)
        os.close(self._ours)
        return self.process.returncode

    def _read(self) -> bytes:
        if not select.select([self._ours], [], [], 0.05)[0]:
            return b""
        found = os.read(self._ours, 65536)
        self.shown += found
        return found


def piped(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, encoding="utf-8", timeout=LIMIT_S, check=False, env=environment
    )


def test_a_pipe_gets_the_state_as_text(run: RunFolder) -> None:
    ended = piped("watch", str(run.path))
    assert ended.returncode == 0
    assert "no terminal" in ended.stderr
    assert "replay · plan · 2 of 2 trials finished" in ended.stdout
    assert "completed" in ended.stdout
    assert re.search(r"^1 +ok .* (none|online)$", ended.stdout, re.MULTILINE)
    assert "\x1b" not in ended.stdout


@pytest.mark.parametrize(
    ("size", "environment"), [((80, 24), {}), ((20, 5), {"NO_COLOR": "1"}), ((20, 5), {"LC_ALL": "C"})]
)
def test_a_terminal_is_given_back_as_it_was(run: RunFolder, size: tuple[int, int], environment: dict[str, str]) -> None:
    terminal = Terminal("watch", str(run.path), size=size, environment=environment)
    terminal.until(b"replay")
    terminal.press(b"q")
    assert terminal.end() == 0
    assert b"Traceback" not in terminal.shown
    assert terminal.shown.rstrip().endswith(b"l")
    assert terminal.after == terminal.before
    if "NO_COLOR" in environment:
        assert not COLOUR.search(terminal.shown)
    if "LC_ALL" in environment:
        assert re.findall(rb".{20}[^\0-\x7f]+.{20}", terminal.shown, re.S) == []


def test_a_dumb_terminal_gets_the_state_as_text(run: RunFolder) -> None:
    terminal = Terminal("watch", str(run.path), environment={"TERM": "dumb"})
    assert terminal.end() == 0
    assert b"no terminal to show a screen on" in terminal.shown
    assert b"\x1b" not in terminal.shown


def test_one_who_is_ended_gives_the_terminal_back(run: RunFolder) -> None:
    terminal = Terminal("watch", str(run.path))
    terminal.until(b"replay")
    terminal.process.terminate()
    assert terminal.end() == 0
    assert terminal.after == terminal.before


def test_a_run_shows_itself_and_prints_its_results_afterwards(tmp_path: Path) -> None:
    plan = small_plan(tmp_path, "none", "online")
    terminal = Terminal("run", plan, "--lab", "fake", "--watch", "--runs", str(tmp_path / "runs"))
    assert terminal.end() == 0
    assert b"Traceback" not in terminal.shown
    assert b"report.html" in terminal.shown.replace(b"\r\n", b"")
    assert b"2 trials; about" in terminal.shown
    assert terminal.after == terminal.before
