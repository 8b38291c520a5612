"""The screen beside a run: a process of its own, so that drawing takes nothing from the run and closing it does not
end it."""

import contextlib
import subprocess
import sys
import termios
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

CLOSES_S = 5.0
"""Maximum time to wait for the screen to close."""
_DUMB = ("", "dumb", "unknown")
_PRIMARY_SCREEN = "\x1b[?1049l\x1b[?25h"
"""Back to the normal screen buffer, with a cursor (xterm's control sequences)."""


def on_terminal(stdin: TextIO, stdout: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether a screen can be shown: both are a terminal that can move its cursor."""
    return stdin.isatty() and stdout.isatty() and environment.get("TERM", "") not in _DUMB


class Window:
    """`migrascope watch` on this terminal, beside the process that runs."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._settings: list[Any] = []

    def open(self, run: Path) -> None:
        """Shows that run."""
        self._settings = termios.tcgetattr(sys.stdin)
        command = [sys.executable, "-P", "-m", "migrascope", "watch", str(run.absolute()), "--leave"]
        self._process = subprocess.Popen(command)

    def is_open(self) -> bool:
        """Whether it has the terminal."""
        return self._process is not None and self._process.poll() is None

    def close(self) -> None:
        """Closes it, where nobody has, and takes the terminal back as it was."""
        if self._process is None:
            return
        if self.is_open():
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(CLOSES_S)
        if self.is_open():
            self._process.kill()
            self._process.wait()
        if self._process.returncode:
            sys.stdout.write(_PRIMARY_SCREEN)
            sys.stdout.flush()
        termios.tcsetattr(sys.stdin, termios.TCSANOW, self._settings)
