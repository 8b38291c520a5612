"""What a command loads. An interrupt meanwhile ends the process, silently."""

import subprocess
import sys

import pytest

from migrascope.cli.console import EXIT_INTERRUPTED

LOST = """
import signal, sys, weakref
from migrascope.cli.console import loading
signal.signal(signal.SIGTERM, signal.default_int_handler)
class Thing: pass
thing = Thing()
callback = weakref.ref(thing, lambda _: signal.raise_signal(signal.{name}))
with loading():
    del thing  # Python swallows what such a callback raises
sys.exit("it went on")
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_it_ends_where_an_exception_would_be_lost(name: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", LOST.format(name=name)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (EXIT_INTERRUPTED, "", "")


@pytest.mark.parametrize(
    ("module", "without"),
    [("cli.observe", {"polars", "numpy", "scipy"}), ("study.observation.observe", {"polars", "scipy"})],
)
def test_the_first_line_of_observe_waits_for_no_tables_and_no_statistics(module: str, without: set[str]) -> None:
    code = f"import sys, migrascope.{module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert without & set(done.stdout.split()) == set()
