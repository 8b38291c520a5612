"""`watch`: a run as it happens, or once more afterwards."""

import codecs
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from migrascope.cli import dashboard
from migrascope.cli.console import Runs, loading, stderr, stdout
from migrascope.cli.window import on_terminal
from migrascope.model.problem import UsageProblem
from migrascope.store.runfolder import find_run
from migrascope.study.observation.watch import Afterwards, Beside, watch_of

LEAST_SPEED, MOST_SPEED = 0.01, 1000.0


def watch(
    run: str = "-1",
    /,
    *,
    trial: Annotated[int | None, Parameter(help="Replay this finished trial instead.")] = None,
    speed: Annotated[float, Parameter(help="Of a replay: so many times as fast as it was.")] = 1.0,
    leave: Annotated[bool, Parameter(negative="", help="Close when the run is over.")] = False,
    runs: Runs = Path("runs"),
) -> int:
    """Shows a run on the terminal as it happens, or replays a trial of one that is over. It only reads: closing it does
    not end the run. Where there is no terminal, it prints how things are now.

    Parameters
    ----------
    run
        A path, the beginning of an id, or -1 for the newest.
    """
    if not LEAST_SPEED <= speed <= MOST_SPEED:
        raise UsageProblem(f"--speed {speed:g}: from {LEAST_SPEED:g} to {MOST_SPEED:g}")
    if leave and trial is not None:
        raise UsageProblem("--leave is for a run that goes on, --trial for one that is over: leave one of them out")
    folder = find_run(runs, run)
    watched = Beside(folder) if leave else watch_of(folder, trial, speed)
    ascii_only = not speaks_utf8(os.environ, sys.stdout.encoding)
    if not on_terminal(sys.stdin, sys.stdout, os.environ):
        return _print(watched, ascii_only=ascii_only)
    # the measurement goes first on this machine
    os.nice(19)
    return _screen(watched, leave=leave, ascii_only=ascii_only)


def speaks_utf8(environment: Mapping[str, str], encoding: str | None) -> bool:
    """Whether the terminal shows more than ASCII, by its locale (locale(7)): Python writes UTF-8 in the locale C,
    too."""
    named = next((environment[key] for key in ("LC_ALL", "LC_CTYPE", "LANG") if environment.get(key)), "C")
    try:
        spoken = codecs.lookup(named.partition("@")[0].partition(".")[2] or "ascii").name
        return spoken == codecs.lookup(encoding or "ascii").name == "utf-8"
    except LookupError:
        return False


def _print(watched: Beside | Afterwards, *, ascii_only: bool) -> int:
    if isinstance(watched, Afterwards):
        watched.to_end()
    stderr().print("no terminal to show a screen on: this is how things are now")
    out = stdout()
    status = watched.look()
    while len(status.finished) < status.sealed:
        status = watched.look()
    for line in dashboard.plain(status, out.width, ascii_only=ascii_only):
        out.print(line, soft_wrap=True)
    return 0


def _screen(watched: Beside | Afterwards, *, leave: bool, ascii_only: bool) -> int:
    with loading():
        from migrascope.cli.screen import ReplayApp, WatchApp  # textual takes half a second

    screen: WatchApp
    if isinstance(watched, Afterwards):
        screen = ReplayApp(watched, ascii_only=ascii_only)
    else:
        screen = WatchApp(watched, leave=leave, ascii_only=ascii_only)
    screen.run()
    if screen.problem is not None:
        raise screen.problem
    return screen.return_code or 0
