"""What a run says of its trials on a terminal."""

from dataclasses import replace
from io import StringIO
from types import SimpleNamespace
from typing import Any, cast

from rich.console import Console

from migrascope.cli.progress import ConsoleProgress
from migrascope.model.plan import Plan
from migrascope.model.schedule import schedule
from migrascope.store.recording import TrialFacts

COMMAND = "qemu-system-x86_64 -name vm-1 " + "-device virtio-net-pci " * 40
REASON = f"QEMU on host-b was killed by SIGKILL\n  command: {COMMAND}"


def test_a_trial_that_failed_is_told_without_the_command_line_of_what_ended() -> None:
    (spec, *_) = schedule(Plan())
    trial = TrialFacts(1, 1, spec.factors, spec.source, spec.destination, "vm-1", "m", "failed", REASON, {})
    said = StringIO()
    progress = ConsoleProgress(Console(file=said, width=80))
    progress.plan(2, 0, 30.0)
    progress.trial_begins(spec)
    progress.trial_ends(cast(Any, SimpleNamespace(trial=trial)))
    assert "failed: QEMU on host-b was killed by SIGKILL (0 s" in said.getvalue()
    assert "qemu-system" not in said.getvalue()
    assert COMMAND in cast(str, trial.reason)
    assert replace(trial, reason=None).briefly is None
