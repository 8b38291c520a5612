"""A migration that copies its volume: on the QEMU lab and by libvirt, and what a failure of the copy leaves."""

from pathlib import Path
from typing import Any

import pytest

from lab.machine import LIGHT, migrascope, only_trial
from migrascope.analysis.run import result_of
from migrascope.metrics.trial import measure
from migrascope.store.recording import Recording
from migrascope.store.runfolder import RunFolder

pytestmark = pytest.mark.lab
HEAD = f"""
blocks = 1
[windows]
before = "2s"
limit = "2min"
boot_limit = "3min"
steady_limit = "3min"
{LIGHT}
[axes]
scenario = ["none"]
memory = ["512MiB"]
storage = ["copied"]
"""
AT = """
[[disturbance]]
name = "one"
when = "storage-copy"
offset = "200ms"
"""
KILL = 'kind = "qemu-kill"\ntarget = "destination"\n'
ABORT = 'kind = "abort"\n'
CUT = 'kind = "link-down"\ntarget = "migration"\nduration = "3s"\n'
FULL = 'kind = "no-space"\ntarget = "destination"\nduration = "2s"\n'
LIBVIRT = '[lab]\nkind = "libvirt"\n'
SOAK = pytest.mark.soak
SENT_BYTES = 2**26
"""The guest's programs, pages and videos are more than this."""


def disturbed(folder: Path, kind: str, lab: str = "") -> Recording:
    """The only trial of a plan with that disturbance while the volume is copied."""
    (folder / "plan.toml").write_text(f'{HEAD}disturbance = ["one"]\n{AT}{kind}{lab}')
    done = migrascope("run", str(folder / "plan.toml"), "--runs", str(folder / "runs"))
    assert done.returncode in (0, 1, 4), done.stderr
    (recording,) = RunFolder(folder / "runs" / "latest").recordings()
    return recording


def happened(recording: Recording) -> dict[str, Any]:
    (row,) = recording.table("disturbance").rows(named=True)
    return row


def assert_copied(recording: Recording) -> None:
    """What runs on the destination has all that was written, on a volume of its own, and the figures agree."""
    assert {check.verdict for check in recording.trial.proof.values()} == {"pass"}
    judgement = result_of(recording).judgement
    assert judgement.verdict == "intact", judgement.text
    found = measure(recording)
    figures = {key: measured.value for key, measured in found.items()}
    for key in ("storage_copy_s", "disk_data_bytes", "reported_disk_bytes", "memory_data_bytes", "migration_time_s"):
        assert figures[key], (key, found[key].reason)
    # QEMU goes through all of the volume, whose empty parts are not sent.
    assert SENT_BYTES <= (figures["disk_data_bytes"] or 0) < (figures["reported_disk_bytes"] or 0)
    assert figures["memory_data_bytes"] == pytest.approx(figures["reported_transferred_bytes"], rel=0.01)
    assert (figures["storage_copy_s"] or 0) < (figures["migration_time_s"] or 0)


def test_a_volume_is_copied_and_then_the_memory(tmp_path: Path) -> None:
    assert_copied(only_trial(tmp_path, HEAD))


@SOAK
def test_a_volume_is_copied_by_libvirt(tmp_path: Path) -> None:
    recording = only_trial(tmp_path, HEAD + LIBVIRT)
    assert_copied(recording)
    figures = {key: measured.value for key, measured in measure(recording).items()}
    assert figures["libvirt_disk_bytes"] == pytest.approx(figures["reported_disk_bytes"], rel=0.02)
    assert figures["libvirt_memory_bytes"] == pytest.approx(figures["memory_data_bytes"], rel=0.01)


@pytest.mark.parametrize(
    ("kind", "lab", "words"),
    [
        pytest.param(KILL, "", "SIGKILL", id="kill"),
        pytest.param(FULL, "", "No space left on device", id="full", marks=SOAK),
        pytest.param(ABORT, "", "Operation canceled", id="abort", marks=SOAK),
        pytest.param(KILL, LIBVIRT, "host-", id="kill-libvirt", marks=SOAK),
        pytest.param(ABORT, LIBVIRT, "host-", id="abort-libvirt", marks=SOAK),
        pytest.param(FULL, LIBVIRT, "host-", id="full-libvirt", marks=SOAK),
    ],
)
def test_a_copy_that_fails_leaves_the_guest_and_its_volume_whole(
    tmp_path: Path, kind: str, lab: str, words: str
) -> None:
    recording = disturbed(tmp_path, kind, lab)
    assert happened(recording)["effect_ns"], happened(recording)["note"]
    assert recording.trial.status == "failed"
    assert words in (recording.trial.reason or "")
    assert recording.trial.facts["rescue"]["operator"] == []
    assert recording.trial.proof["place"].verdict == "pass"
    said = {statement.verdict for statement in result_of(recording).judgement.statements}
    assert said <= {"intact", "unknown"}, result_of(recording).judgement.text
    assert {s.verdict for s in result_of(recording).judgement.statements if s.witness != "disturbance"} == {"intact"}


@pytest.mark.soak
@pytest.mark.parametrize("lab", ["", LIBVIRT], ids=["qemu", "libvirt"])
def test_a_copy_waits_for_its_link(tmp_path: Path, lab: str) -> None:
    recording = disturbed(tmp_path, CUT, lab)
    assert happened(recording)["effect_ns"], happened(recording)["note"]
    assert recording.trial.status == "ok", recording.trial.reason
    assert (measure(recording)["storage_copy_s"].value or 0) > 3
    assert {s.verdict for s in result_of(recording).judgement.statements if s.witness != "disturbance"} == {"intact"}
