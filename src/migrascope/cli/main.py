"""The verbs and how they end. Each verb's module is loaded when it is called.

0 ok, 1 a check failed, 2 usage or plan error, 3 inconclusive, 4 the lab or a migration could not be carried out,
70 internal error, 130 interrupted.
"""

import errno
import importlib
import io
import os
import re
import shlex
import signal
import sys

import cyclopts

from migrascope import __version__
from migrascope.cli.console import EXIT_INTERRUPTED, loading, stderr, visible
from migrascope.model.problem import Problem

EXIT_BUG = 70
MISUSES = {errno.EBADF, errno.EFAULT, errno.EINVAL, errno.ENOTSOCK, errno.ENOTTY}
"""What the kernel says of a call that should not have been made: a fault of ours, and none of the machine's."""
VERBS = {
    "doctor": ("doctor", "Says what this machine, or a cloud, has and lacks."),
    "plan": ("run", "Checks a plan and says what it will do."),
    "run": ("run", "Runs a plan: its trials, the table, and the report."),
    "observe": ("observe", "Tells when any addresses fall silent, while it happens."),
    "watch": ("watch", "Shows a run as it happens, or replays it."),
    "show": ("show", "Prints a run's table and what it shows."),
    "report": ("show", "Writes a run's report anew from its recordings."),
    "predict": (
        "predict",
        "Predicts what migrations cost: a run's beside what was measured, a plan's, a running guest's.",
    ),
    "advise": ("advise", "Says which way of migrating costs a guest the least, and how it is set."),
    "data": ("data", "Adds the sampled trials of a run to a table from which predictions are fitted."),
    "compare": ("compare", "Holds runs against one another."),
    "check": ("compare", "Holds a run against thresholds."),
    "export": ("export", "Writes a run's tables and figures for others to use."),
    "qos": ("qos", "Delay, jitter, loss, throughput and silences of the flows of any capture."),
    "calibrate": ("calibrate", "Measures the meter's own error on this machine."),
    "clean": ("clean", "Removes what killed runs left, and superseded images that nothing uses."),
    "disturbances": ("disturbances", "Lists what a plan can do to a trial beside migrating."),
    "schema": ("show", "Prints the JSON Schema of a plan or of observe's events, or the recorded tables."),
}

app = cyclopts.App(
    name="migrascope",
    help="What a live migration costs, on every layer: run it, measure it, explain it.",
    version=__version__,
    version_flags=["--version"],
    # what was given is shown, and a terminal does not obey it
    error_formatter=lambda error: cyclopts.CycloptsPanel(visible(str(error))),
)
for verb, (module, summary) in VERBS.items():
    app.command(f"migrascope.cli.{module}:{verb}", name=verb, help=summary)
app.command("migrascope.cli.testbed:app", name="testbed", help="A real two-node OpenStack on Ceph on this machine.")


def _arguments(given: list[str]) -> list[str]:
    """The arguments, where `observe ... -- COMMAND ARG ...` gives the command as one: its options are not ours."""
    if given[:1] != ["observe"] or "--" not in given:
        return given
    at = given.index("--")
    return [*given[:at], f"--command={shlex.join(given[at + 1 :])}"]


def main() -> None:
    """The entry point of the command `migrascope`."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal of ASCII alone shows question marks
    if not re.fullmatch("[1-9][0-9]{0,4}", os.environ.get("COLUMNS", "80")):
        del os.environ["COLUMNS"]  # of 0 columns nothing would be shown, mistakes in a call neither
    errors = stderr()
    try:
        if (verb := next(iter(sys.argv[1:]), "")) in VERBS:
            with loading():
                importlib.import_module(f"migrascope.cli.{VERBS[verb][0]}")
        code = app(_arguments(sys.argv[1:]), print_error=True, exit_on_error=True, result_action="return_value")
        sys.exit(code if isinstance(code, int) else 0)
    except Problem as error:
        errors.print(f"migrascope: {error}", markup=False, soft_wrap=True)
        sys.exit(error.code)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except ImportError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in MISUSES:
            errors.print(f"migrascope: {error}", soft_wrap=True)
            sys.exit(Problem.code)
        import tempfile
        import traceback

        with tempfile.NamedTemporaryFile("w", prefix="migrascope-", suffix=".txt", delete=False) as file:
            traceback.print_exc(file=file)
        errors.print(f"migrascope: internal error: {error!r}; details in {file.name}", markup=False, soft_wrap=True)
        sys.exit(EXIT_BUG)
