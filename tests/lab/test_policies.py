"""Each policy, once and end to end; what one sets is gone in the next; what a QEMU lacks is said before any trial."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from lab.machine import migrascope
from migrascope.metrics.trial import examine, measure
from migrascope.model.plan import Plan
from migrascope.model.schedule import schedule
from migrascope.store.recording import Recording
from migrascope.store.runfolder import RunFolder
from migrascope.study.plans import parse

pytestmark = pytest.mark.lab
PLAN = """
name = "policies"
blocks = 1
[axes]
scenario = ["none"]
policy = [{names}]
memory = ["512MiB"]
write_rate = ["{rate}"]
working_set = ["64MiB"]
[windows]
before = "2s"
limit = "2min"
boot_limit = "3min"
steady_limit = "3min"
[probes]
dirty = false
[visitors]
new_rate = 5
kept_rate = 5
viewers = 0
{tables}
"""
TABLES = """
[policies.post-copy]
post_copy = { after = "300ms" }
[policies.post-copy-preempt]
post_copy = { after_round = 0, preempt = true }
[policies.narrow]
bandwidth = "200mbit"
[policies.paused]
pause = { after_round = 1 }
[policies.by-name]
capabilities = { return-path = true, switchover-ack = true, pause-before-switchover = true }
parameters = { announce-rounds = 7 }
"""
IN_TURN = ("post-copy", "multifd", "pre-copy")
"""One after another in the run: each has what the next has not."""
CAPABILITIES = {
    "pre-copy": set(),
    "narrow": set(),
    "paused": set(),
    "tls": set(),
    "auto-converge": {"auto-converge"},
    "xbzrle": {"xbzrle"},
    "post-copy": {"postcopy-ram"},
    "post-copy-preempt": {"postcopy-ram", "postcopy-preempt"},
    "multifd": {"multifd"},
    "multifd-zstd": {"multifd"},
    "by-name": {"return-path", "switchover-ack", "pause-before-switchover"},
}


def in_turn(plan: Plan) -> bool:
    """Whether its trials of IN_TURN come one after another."""
    order = [trial.factors.policy for trial in schedule(plan)]
    at = order.index(IN_TURN[0])
    return tuple(order[at : at + len(IN_TURN)]) == IN_TURN


OFTEN = (*IN_TURN, "by-name")
EACH = pytest.param(tuple(CAPABILITIES), marks=pytest.mark.soak, id="each policy")
ALL = pytest.mark.parametrize("run", [EACH], indirect=True)
"""For a test of policies that are tried in the soak tier alone."""


@pytest.fixture(scope="module", params=[pytest.param(OFTEN, id="often"), EACH])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A trial of each policy, of which each has come to a good end; the guest writes 10 MB/s: half of what the narrow
    stream carries."""
    folder = tmp_path_factory.mktemp("policies")
    listed = ", ".join(f'"{name}"' for name in request.param)
    text = PLAN.format(names=listed, rate="10MB/s", tables=TABLES)
    seeded = (f"seed = {seed}\n{text}" for seed in itertools.count())
    (folder / "plan.toml").write_text(next(text for text in seeded if in_turn(parse(text, "plan"))), encoding="utf-8")
    done = migrascope("run", str(folder / "plan.toml"), "--runs", str(folder / "runs"), timeout_s=1800)
    assert done.returncode in (0, 1), done.stderr
    return RunFolder(folder / "runs" / "latest")


@pytest.fixture(scope="module")
def trials(run: RunFolder) -> dict[str, Recording]:
    """They by their policies."""
    return {recording.trial.factors.policy: recording for recording in run.recordings()}


def settings(recording: Recording) -> list[dict[str, Any]]:
    """What both sides read back, the source first."""
    return [recording.trial.settings[host] for host in (recording.trial.source, recording.trial.destination)]


def test_a_policy_moves_the_guest_whole(trials: dict[str, Recording]) -> None:
    for name, recording in trials.items():
        trial = recording.trial
        assert (trial.status, trial.reason) == ("ok", None), name
        assert {check.verdict for check in trial.proof.values()} == {"pass"}, name
        found = measure(recording)
        for key in ("migration_time_s", "vm_pause_s", "network_blackout_s", "data_transferred_bytes"):
            assert found[key].value, (name, found[key].reason)


def test_both_sides_have_the_policy_s_capabilities_and_no_other(trials: dict[str, Recording]) -> None:
    for name, recording in trials.items():
        for side in settings(recording):
            on = {capability for capability, state in side["capabilities"].items() if state}
            assert on == CAPABILITIES[name] | {"events"}, name


def test_the_parameters_are_the_policy_s(trials: dict[str, Recording]) -> None:
    plain = settings(trials["pre-copy"])[0]["parameters"]
    differing = {
        name: {key: value for key, value in settings(recording)[1]["parameters"].items() if plain.get(key) != value}
        for name, recording in trials.items()
    }
    expected = {
        "narrow": {"max-bandwidth": 25_000_000, "max-postcopy-bandwidth": 25_000_000},
        "tls": {"tls-creds": "tls0"},
        "multifd": {"multifd-channels": 4},
        "multifd-zstd": {"multifd-channels": 4, "multifd-compression": "zstd"},
        "by-name": {"announce-rounds": 7},
    }
    assert differing == {name: expected.get(name, {}) for name in trials}


def test_nothing_of_a_policy_is_left_in_the_next_trial(run: RunFolder) -> None:
    recordings = run.recordings()
    order = [recording.trial.factors.policy for recording in recordings]
    at = order.index(IN_TURN[0])
    assert tuple(order[at : at + len(IN_TURN)]) == IN_TURN
    for recording in recordings[at : at + len(IN_TURN)]:
        name = recording.trial.factors.policy
        for side in settings(recording):
            assert {key for key, state in side["capabilities"].items() if state} == CAPABILITIES[name] | {"events"}
            assert side["parameters"]["multifd-channels"] == (4 if name == "multifd" else 2)


def test_the_figures_of_post_copy_are_the_meter_s(trials: dict[str, Recording]) -> None:
    assert "post-copy" in trials
    for name in {"post-copy", "post-copy-preempt"} & set(trials):
        events = trials[name].table("qmp_event")
        assert events["data"].str.contains("postcopy-active").any(), name
        found = measure(trials[name])
        assert found["reported_downtime_s"].value is None, name
        assert "post-copy" in (found["reported_downtime_s"].reason or ""), name
        pause, time = found["vm_pause_s"].value, found["migration_time_s"].value
        assert pause is not None, name
        assert time is not None, name
        assert 0 < pause < time / 2, name


@ALL
def test_a_narrow_stream_takes_longer(trials: dict[str, Recording]) -> None:
    narrow, plain = (measure(trials[name])["migration_time_s"].value for name in ("narrow", "pre-copy"))
    assert narrow is not None
    assert plain is not None
    assert narrow > 2 * plain


@ALL
def test_a_stream_compressed_with_zstd_is_not_longer(trials: dict[str, Recording]) -> None:
    zstd, none = (measure(trials[name])["data_transferred_bytes"].value for name in ("multifd-zstd", "multifd"))
    assert zstd is not None
    assert none is not None
    assert zstd < 0.9 * none


def test_a_writer_writes_no_more_than_its_rate_and_is_flagged_where_it_wrote_less(trials: dict[str, Recording]) -> None:
    for recording in trials.values():
        seen = examine(recording)
        reached = seen.metrics["writer_Bps.before"].value
        assert reached is not None
        assert 0 < reached <= 1.05 * 10e6
        assert any("the writer reached" in words for words in seen.warnings) == (reached < 0.95 * 10e6)


def test_a_capability_that_this_qemu_lacks_is_said_before_any_trial(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    tables = "[policies.threads]\ncapabilities = { compress = true }\n[policies.odd]\nparameters = { no-such = 1 }\n"
    names = '"threads", "odd", "pre-copy"'
    path.write_text(PLAN.format(names=names, rate="0B/s", tables=tables), encoding="utf-8")
    done = migrascope("run", str(path), "--runs", str(tmp_path / "runs"))
    assert done.returncode == 4
    assert "threads: this QEMU: no migration capability compress" in " ".join(done.stderr.split())
    assert "odd: this QEMU: no migration parameter no-such" in " ".join(done.stderr.split())
    assert not (tmp_path / "runs").exists()
