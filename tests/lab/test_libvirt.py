"""The lab libvirt end to end: a scenario with every figure, a policy of each sort, one failure of each sort."""

import json
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lab.machine import COMMAND, GONE, LIGHT, foreign, listening, migrascope, only_trial, owned_by, traces
from migrascope.analysis.run import result_of
from migrascope.metrics.phases import PHASES
from migrascope.metrics.trial import measure
from migrascope.model.policy import BUILT_IN
from migrascope.predict.mechanism import course
from migrascope.predict.recorded import request_of
from migrascope.store.recording import Recording
from migrascope.store.runfolder import RunFolder
from migrascope.trial.sampling import PERIODS_S

pytestmark = pytest.mark.lab
HEAD = f"""
name = "libvirt"
blocks = 1
[lab]
kind = "libvirt"
[windows]
before = "2s"
limit = "2min"
boot_limit = "3min"
steady_limit = "3min"
{LIGHT}
"""
ONE = f"""{HEAD}
[axes]
scenario = ["offline"]
"""
SAMPLED = ONE.replace("dirty = false", "dirty = true")
OFTEN = ("pre-copy", "early", "tls")
SELDOM = ("multifd-zstd", "auto-converge", "xbzrle", "paused", "narrow", "through")
POLICIES = f"""{HEAD}
[axes]
scenario = ["none"]
policy = POLICIES
memory = ["512MiB"]
write_rate = ["10MB/s"]
working_set = ["64MiB"]
[policies.early]
post_copy = {{ after = "300ms" }}
[policies.narrow]
bandwidth = "200mbit"
[policies.paused]
pause = {{ after_round = 1 }}
[policies.through]
tunnelled = true
"""
CAPABILITIES = {
    "pre-copy": set(),
    "auto-converge": {"auto-converge"},
    "xbzrle": {"xbzrle"},
    "early": {"postcopy-ram"},
    "multifd-zstd": {"multifd"},
    "narrow": set(),
    "paused": set(),
    "tls": set(),
    "through": set(),
}
ASKED_FOR = {"auto-converge", "xbzrle", "postcopy-ram", "multifd"}
"""What only the policy can have set; libvirt sets others itself, as it likes."""
FAILURES = f"""{HEAD}
[axes]
scenario = ["none"]
disturbance = DISTURBANCES
[[disturbance]]
name = "aborted"
kind = "abort"
when = "first-copy"
offset = "200ms"
[[disturbance]]
name = "cut"
kind = "link-down"
target = "migration"
when = "first-copy"
offset = "200ms"
duration = "3s"
[[disturbance]]
name = "killed"
kind = "qemu-kill"
target = "destination"
when = "first-copy"
offset = "200ms"
[[disturbance]]
name = "daemon"
kind = "service-kill"
service = "libvirt"
target = "source"
when = "first-copy"
offset = "200ms"
[[disturbance]]
name = "hangs"
kind = "service-freeze"
service = "libvirt"
target = "source"
when = "switchover"
duration = "2s"
[[disturbance]]
name = "full"
kind = "no-space"
target = "storage"
when = "first-copy"
duration = "2s"
"""


def trials(folder: Path, plan: str, factor: str) -> dict[str, Recording]:
    """Of a plan's run, by a factor."""
    (folder / "plan.toml").write_text(plan)
    done = migrascope("run", str(folder / "plan.toml"), "--runs", str(folder / "runs"))
    assert done.returncode in (0, 1, 4), done.stderr  # 4: no trial came to its end
    recordings = RunFolder(folder / "runs" / "latest").recordings()
    return {str(getattr(recording.trial.factors, factor)): recording for recording in recordings}


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return only_trial(tmp_path_factory.mktemp("one"), SAMPLED)


def policies_of(folder: Path, names: Sequence[str]) -> dict[str, Recording]:
    return trials(folder, POLICIES.replace("POLICIES", json.dumps(names)), "policy")


def failures_of(folder: Path, names: Sequence[str]) -> dict[str, Recording]:
    return trials(folder, FAILURES.replace("DISTURBANCES", json.dumps(names)), "disturbance")


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recording]:
    return policies_of(tmp_path_factory.mktemp("policies"), OFTEN)


@pytest.fixture(scope="module")
def policies_of_soak(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recording]:
    return policies_of(tmp_path_factory.mktemp("policies"), ("pre-copy", *SELDOM))


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return failures_of(tmp_path_factory.mktemp("failures"), ["killed"])["killed"]


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recording]:
    return failures_of(tmp_path_factory.mktemp("failures"), ["aborted", "cut", "daemon", "hangs", "full"])


def test_a_migration_by_libvirt_is_measured_on_every_layer(one: Recording) -> None:
    found = measure(one)
    for key in (
        "migration_time_s", "vm_pause_s", "network_blackout_s", "data_transferred_bytes", "reported_downtime_s",
        "set_downtime_limit_s", "rounds", "libvirt_total_s", "libvirt_downtime_s", "libvirt_transferred_bytes",
    ):  # fmt: skip
        assert found[key].value, (key, found[key].reason)
    assert found["set_downtime_limit_s"].value == pytest.approx(0.3)
    assert result_of(one).judgement.verdict == "intact"


def test_what_it_holds_and_dirties_was_sampled_and_foretells_what_went_over(one: Recording) -> None:
    rows = one.table("sample")
    assert rows.select("what", "error").rows() == [("held", ""), *[("dirty", "")] * len(PERIODS_S)]
    request = request_of(one, BUILT_IN["pre-copy"])
    assert 0.1 < request.guest.held_bytes / request.guest.memory_bytes < 0.9
    assert course(request).data_bytes == pytest.approx(measure(one)["data_transferred_bytes"].value, rel=0.25)


def test_the_link_and_libvirt_count_the_same_data(one: Recording) -> None:
    found = measure(one)
    link, said = found["data_transferred_bytes"].value, found["libvirt_transferred_bytes"].value
    assert link is not None
    assert said is not None
    assert link / said == pytest.approx(1, abs=0.01)


def test_libvirt_s_phases_add_up_to_its_call_and_name_what_is_not_qemu_s_in_the_pause(one: Recording) -> None:
    found = measure(one)
    lasted = [found[f"phase_s.{name}"] for name in PHASES]
    assert [phase.reason for phase in lasted if phase.value is None] == []
    assert sum(phase.value or 0 for phase in lasted) >= (found["migration_time_s"].value or 0)
    paused = {name: found[f"phase_pause_s.{name}"].value for name in PHASES}
    assert {name for name, part in paused.items() if part} == {"perform", "finish"}
    pause = found["vm_pause_s"].value
    assert sum(part or 0 for part in paused.values()) == pytest.approx(pause, abs=0.002)
    waits = found["handover.wait_s"].value, found["handover.start_s"].value
    assert all(waits), [found[f"handover.{name}_s"].reason for name in ("wait", "start")]
    assert sum(wait or 0 for wait in waits) < (pause or 0)


def test_libvirt_counts_no_shorter_a_downtime_than_qemu_s_events_show(one: Recording) -> None:
    found = measure(one)
    pause, downtime = found["vm_pause_s"], found["libvirt_downtime_s"]
    assert pause.value is not None
    assert downtime.value is not None
    assert downtime.value >= pause.value - (pause.bound or 0) - 0.05


def capabilities(recording: Recording) -> set[str]:
    """Those that QEMU on the source said were on while it migrated."""
    rows = recording.table("qmp_status").filter(
        (pl.col("command") == "query-migrate-capabilities")
        & (pl.col("host") == recording.trial.source)
        & (pl.col("answer") != "")
    )
    told: list[dict[str, Any]] = json.loads(rows["answer"][-1])
    return {entry["capability"] for entry in told if entry["state"]}


@pytest.mark.parametrize("name", OFTEN)
def test_a_policy_moves_the_guest_by_its_own_flags(policies: dict[str, Recording], name: str) -> None:
    moved(policies[name], name)


@pytest.mark.soak
@pytest.mark.parametrize("name", SELDOM)
def test_each_other_policy_does_so_too(policies_of_soak: dict[str, Recording], name: str) -> None:
    moved(policies_of_soak[name], name)


def moved(recording: Recording, name: str) -> None:
    """Asserts that the policy moved the guest as it is meant to."""
    trial = recording.trial
    assert (trial.status, trial.reason) == ("ok", None)
    assert {check.verdict for check in trial.proof.values()} == {"pass"}
    assert capabilities(recording) & ASKED_FOR == CAPABILITIES[name]
    found = measure(recording)
    for key in ("migration_time_s", "vm_pause_s", "network_blackout_s", "data_transferred_bytes"):
        assert found[key].value, (key, found[key].reason)


def test_post_copy_runs_before_all_has_come(policies: dict[str, Recording]) -> None:
    assert policies["early"].table("qmp_event")["data"].str.contains("postcopy-active").any()


@pytest.mark.soak
def test_a_narrow_stream_takes_longer(policies_of_soak: dict[str, Recording]) -> None:
    narrow, plain = (measure(policies_of_soak[name])["migration_time_s"].value for name in ("narrow", "pre-copy"))
    assert narrow is not None
    assert plain is not None
    assert narrow > 2 * plain


def happened(recording: Recording) -> dict[str, Any]:
    (row,) = recording.table("disturbance").rows(named=True)
    return row


def test_a_destination_that_is_killed_leaves_the_guest_where_it_was(killed: Recording) -> None:
    stayed(killed)


@pytest.mark.soak
@pytest.mark.parametrize("name", ["aborted", "daemon"])
def test_a_migration_that_comes_to_nothing_leaves_the_guest_where_it_was(
    failures: dict[str, Recording], name: str
) -> None:
    stayed(failures[name])


def stayed(recording: Recording) -> None:
    """Asserts that the migration failed, and the guest is whole on its source."""
    assert happened(recording)["effect_ns"], happened(recording)["note"]
    assert recording.trial.status == "failed"
    assert recording.trial.source in (recording.trial.reason or "")
    assert result_of(recording).judgement.verdict == "intact"
    assert recording.trial.proof["place"].verdict == "pass"


@pytest.mark.soak
def test_a_link_that_comes_back_delays_the_migration(failures: dict[str, Recording]) -> None:
    recording = failures["cut"]
    assert happened(recording)["effect_ns"], happened(recording)["note"]
    assert result_of(recording).judgement.verdict == "intact"
    assert recording.trial.proof["place"].verdict == "pass"


@pytest.mark.soak
def test_a_source_whose_libvirt_hangs_waits_for_its_word(failures: dict[str, Recording]) -> None:
    recording = failures["hangs"]
    assert happened(recording)["effect_ns"], happened(recording)["note"]
    assert recording.trial.status == "ok"
    assert result_of(recording).judgement.verdict in ("intact", "unknown")  # unknown: it took effect late
    found = measure(recording)
    wait, pause = found["handover.wait_s"].value, found["vm_pause_s"].value
    assert wait is not None
    assert pause is not None
    assert 1.5 < wait < pause


@pytest.mark.soak
def test_a_guest_whose_store_is_full_is_resumed_by_an_operator(failures: dict[str, Recording]) -> None:
    recording = failures["full"]
    assert happened(recording)["effect_ns"], happened(recording)["note"]
    (step,) = recording.trial.facts["rescue"]["operator"]
    assert step in (f"resume it on {recording.trial.source}", f"resume it on {recording.trial.destination}")
    said = result_of(recording).judgement
    assert {item.witness for item in said.statements if item.verdict not in ("intact", "unknown")} <= {"website"}, (
        said.text
    )


def test_an_encrypted_stream_shows_that_it_is(policies: dict[str, Recording]) -> None:
    for name, expected in (("tls", True), ("pre-copy", False)):
        recording = policies[name]
        rows = recording.table("qmp_status").filter(
            (pl.col("command") == "query-migrate-parameters")
            & (pl.col("host") == recording.trial.source)
            & (pl.col("answer") != "")
        )
        assert any(json.loads(answer).get("tls-creds") for answer in rows["answer"]) is expected


@pytest.mark.parametrize("part", [0.2, pytest.param(0.6, marks=pytest.mark.soak)])
def test_a_run_that_is_killed_leaves_what_clean_removes(tmp_path: Path, part: float) -> None:
    (tmp_path / "plan.toml").write_text(ONE)
    before, heard = foreign(), listening()
    argv = [*COMMAND, "run", str(tmp_path / "plan.toml"), "--runs", str(tmp_path / "runs")]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 300
        phase = {0.2: "steady", 0.6: "migrate"}[part]
        while process.poll() is None and time.monotonic() < deadline:
            events = list(tmp_path.glob("runs/*/trials/*/events.ndjson"))
            if any(f'"{phase}"' in path.read_text(encoding="utf-8") for path in events):
                break
            time.sleep(0.01)
        labs = owned_by(process.pid)
        assert labs, "it made no lab"
        assert listening() == heard, "it listens on this machine"
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    done = migrascope("clean")
    assert done.returncode == 0, done.stderr
    assert {lab: traces(lab) for lab in labs} == dict.fromkeys(labs, GONE)
    assert foreign() == before
