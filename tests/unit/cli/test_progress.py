"""What a run says of its trials on a terminal."""

from collections.abc import Sequence
from dataclasses import replace
from io import StringIO
from types import SimpleNamespace
from typing import Any, cast

from rich.console import Console

from migrascope.cli.progress import ConsoleProgress
from migrascope.model.plan import Plan
from migrascope.model.schedule import TrialSpec, schedule
from migrascope.store.recording import TrialFacts

COMMAND = "qemu-system-x86_64 -name vm-1 " + "-device virtio-net-pci " * 40
REASON = f"QEMU on host-b was killed by SIGKILL\n  command: {COMMAND}"


def lines(specs: Sequence[TrialSpec], trial: TrialFacts) -> str:
    """What a run of these prints of its first trial."""
    said = StringIO()
    progress = ConsoleProgress(Console(file=said, width=80))
    progress.plan(specs, 0, 30.0)
    progress.trial_begins(specs[0])
    progress.trial_ends(cast(Any, SimpleNamespace(trial=trial)))
    return said.getvalue()


def test_a_trial_is_told_by_what_sets_it_apart_and_by_the_labs_names_of_its_hosts() -> None:
    axes = {"scenario": ["none"], "network": ["agents-vlan", "ovn-geneve"], "memory": ["512MiB"]}
    specs = schedule(Plan.model_validate({"lab": {"kind": "openstack"}, "axes": axes}))
    first = specs[0]
    trial = TrialFacts(1, 1, first.factors, "controller", "compute", "vm-1", "m", "ok", None, {})
    assert f"trial 1/{len(specs)} {first.factors.network}, controller to compute: ok (" in lines(specs, trial)


def test_a_trial_that_failed_is_told_without_the_command_line_of_what_ended() -> None:
    (spec, *_) = schedule(Plan())
    trial = TrialFacts(1, 1, spec.factors, spec.source, spec.destination, "vm-1", "m", "failed", REASON, {})
    said = lines([spec, spec], trial)
    assert "failed: QEMU on host-b was killed by SIGKILL (0 s" in said
    assert "qemu-system" not in said
    assert COMMAND in cast(str, trial.reason)
    assert replace(trial, reason=None).briefly is None
