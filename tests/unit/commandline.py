"""The command line in this process: starting fifty interpreters would take a minute."""

import contextlib
import io
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from migrascope.cli import main


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it printed."""

    code: int
    stdout: str
    stderr: str


def migrascope(*arguments: str, folder: Path, columns: str = "100") -> Ended:
    """The command in a folder. columns: how wide it is told that its terminal is."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.chdir(folder):
        patch.setattr(sys, "argv", ["migrascope", *arguments])
        patch.setenv("COLUMNS", columns)
        patch.setenv("TERM", "dumb")
        with (
            contextlib.redirect_stdout(stdout),
            contextlib.redirect_stderr(stderr),
            pytest.raises(SystemExit) as exited,
        ):
            main()
    assert isinstance(exited.value.code, int)
    assert "Traceback" not in stdout.getvalue() + stderr.getvalue()
    return Ended(exited.value.code, stdout.getvalue(), stderr.getvalue())
