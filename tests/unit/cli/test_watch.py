"""`watch` and `run --watch` without a terminal: what they say, what they refuse, and what a terminal is."""

import io
import math
import re
from pathlib import Path
from typing import Any

import pytest
from commandline import migrascope
from faketrial import light, small_plan
from rich.console import Console

from fakerun import fake_run
from migrascope.cli.progress import ConsoleProgress
from migrascope.cli.watch import speaks_utf8, watch
from migrascope.cli.window import on_terminal
from migrascope.model.problem import UsageProblem
from migrascope.store.runfolder import RunFolder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return fake_run(tmp_path_factory.mktemp("runs"), light(blocks=1, axes={"scenario": ["none", "online"]}))


def test_a_run_without_a_terminal_goes_on_without(tmp_path: Path) -> None:
    plan = small_plan(tmp_path, "none")
    ended = migrascope("run", plan, "--lab", "fake", "--watch", folder=tmp_path)
    assert ended.code == 0
    assert "--watch: there is no terminal to show the run on" in ended.stderr
    assert "report.html" in ended.stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"speed": 0.0}, "--speed 0: from 0.01 to 1000"),
        ({"speed": math.nan}, "--speed nan"),
        ({"leave": True, "trial": 1}, "leave one of them out"),
        ({"trial": 77}, "has no finished trial 77; there are: 1, 2"),
    ],
)
def test_what_cannot_be_watched_is_said(run: RunFolder, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageProblem, match=re.escape(words)):
        watch(str(run.path), **options)


def test_no_run_at_all_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="make one with: migrascope run"):
        watch(runs=tmp_path)


@pytest.mark.parametrize(
    ("environment", "encoding", "spoken"),
    [
        ({"LANG": "C.UTF-8"}, "utf-8", True),
        ({"LANG": "de_DE.utf8@euro"}, "UTF-8", True),
        ({"LANG": "C"}, "utf-8", False),
        ({}, "utf-8", False),
        ({"LANG": "C.UTF-8", "LC_ALL": "POSIX"}, "utf-8", False),
        ({"LANG": "C.UTF-8"}, "ascii", False),
        ({"LANG": "C.UTF-8"}, None, False),
        ({"LANG": "en_US.ISO-8859-1"}, "iso8859-1", False),
        ({"LANG": "x.nonsense"}, "utf-8", False),
    ],
)
def test_only_a_terminal_of_utf8_gets_more_than_ascii(
    environment: dict[str, str], encoding: str | None, spoken: bool
) -> None:
    assert speaks_utf8(environment, encoding) is spoken


def test_a_file_is_no_terminal() -> None:
    assert not on_terminal(io.StringIO(), io.StringIO(), {"TERM": "xterm"})


def test_lines_wait_while_the_terminal_is_anothers() -> None:
    out = io.StringIO()
    hidden = [True]
    progress = ConsoleProgress(Console(file=out), lambda: hidden[0])
    progress.step("one")
    progress.waiting("nothing")
    assert out.getvalue() == ""
    hidden[0] = False
    progress.step("two")
    assert out.getvalue() == "one\ntwo\n"
    progress.give()
    assert out.getvalue() == "one\ntwo\n"
