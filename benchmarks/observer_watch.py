"""What a watch costs the run beside it: the same migration with one on a terminal and without, in interleaved pairs.

    sudo .venv/bin/python benchmarks/observer_watch.py [PAIRS]

A website with visitors, all probes in both. For each figure the median of the pair ratios (with / without) and its 90 %
interval by order statistics. Goal: the upper end at most 1.03 for time and data, 1.10 for pauses and delays.
"""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
from contextlib import suppress

from common import run_plan
from migrascope.model.plan import Plan
from migrascope.store.runfolder import RunFolder
from migrascope.study.plans import parse
from observer_capture import Pair, table

LIMIT_S = 60.0
"""Maximum time in which a watch closes by itself once its run is over."""
LINES, COLUMNS = 24, 80
PLAN = """
name = "observer-watch"
seed = {seed}
blocks = 1
[axes]
scenario = ["none"]
[windows]
before = "2s"
[visitors]
new_rate = 15
kept_rate = 15
viewers = 0
"""
"""The load is fixed: one that is found anew would differ within a pair."""


class Watcher:
    """`watch RUN --leave` on a terminal of its own, of 80 columns and 24 lines, which takes all that is drawn."""

    def begin(self, run: RunFolder) -> None:
        """Starts it, beside a run that has just begun."""
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "migrascope", "watch", str(run.path), "--leave"],
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
        os.close(theirs)
        self.drawn = 0
        """Bytes that it has drawn."""
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        with suppress(OSError):  # EIO: nobody has the other end any more
            while found := os.read(self._ours, 65536):
                self.drawn += len(found)

    def end(self) -> None:
        """Waits until it has closed. ValueError where it was none: it drew nothing, or ended otherwise."""
        try:
            code = self._process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._reading.join()
        os.close(self._ours)
        if code or not self.drawn:
            raise ValueError(f"watch ended with {code} after it had drawn {self.drawn} bytes")


def plan(number: int) -> Plan:
    """One trial of a pair."""
    return parse(PLAN.format(seed=number), "observer-watch")


def watched(number: int) -> RunFolder:
    """One trial, with a watch beside it."""
    watcher = Watcher()
    run = run_plan(plan(number), watcher.begin)
    watcher.end()
    return run


def measured(pairs: int) -> list[Pair]:
    """(with a watch, without) of each pair; which of them is first alternates."""
    found = []
    for number in range(pairs):
        order = (True, False) if number % 2 else (False, True)
        done = {beside: watched(number) if beside else run_plan(plan(number)) for beside in order}
        found.append((done[True], done[False]))
    return found


if __name__ == "__main__":
    print(table(measured(int(sys.argv[1]) if len(sys.argv) > 1 else 20), "watch / none"))
