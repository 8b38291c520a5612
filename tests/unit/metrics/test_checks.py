"""The checks of a trial on OpenStack: each can pass, fail and not be known."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cloudtrial import MS, S, api_only, record
from faketrial import record as record_qemu

from migrascope.analysis.cells import summarise
from migrascope.analysis.results import Finding
from migrascope.analysis.run import result_of
from migrascope.metrics.checks import Check, checks
from migrascope.metrics.trial import measure
from migrascope.metrics.windows import windows_of
from migrascope.store.recording import Recording


def checks_of(recording: Recording) -> dict[str, Check]:
    return {check.name: check for check in result_of(recording).checks}


def test_another_lab_has_none(tmp_path: Path) -> None:
    assert checks_of(record_qemu(tmp_path)) == {}


def test_all_hold(tmp_path: Path) -> None:
    found = checks_of(record(tmp_path, libvirt_bytes=148_000_000))
    assert {check.verdict for check in found.values()} == {"pass"}
    assert list(found) == [
        "two hosts",
        "clocks",
        "the probe's own loss",
        "load",
        "policy",
        "data transferred",
        "blackout and pause",
        "Ceph",
    ]
    assert found["Ceph"].text == "HEALTH_OK in all 6 answers through the migration"


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("two hosts", {"moved": False}, "one hostId before and after"),
        ("data transferred", {"libvirt_bytes": 160_000_000}, "apart"),
        ("Ceph", {"health": "HEALTH_WARN"}, "not HEALTH_OK in 6 of 6 answers: HEALTH_WARN SLOW"),
        ("Ceph", {"health": ""}, "no answer"),
    ],
)
def test_one_that_does_not(tmp_path: Path, name: str, changes: dict[str, Any], words: str) -> None:
    found = checks_of(record(tmp_path, **changes))[name]
    assert found.verdict == "fail"
    assert words in found.text


def test_a_blackout_is_no_shorter_than_the_pause(tmp_path: Path) -> None:
    recording = record(tmp_path)
    found, windows = measure(recording), windows_of(recording)
    for black_s, verdict in ((0.195, "fail"), (0.199, "pass"), (2.0, "pass")):  # of a pause of 0.2 s, 2 ms apart
        told = {**found, "network_blackout_s": replace(found["network_blackout_s"], value=black_s)}
        (check,) = [item for item in checks(recording, told, windows) if item.name == "blackout and pause"]
        assert check.verdict == verdict


def test_clocks_of_others_are_not_known(tmp_path: Path) -> None:
    assert checks_of(record(tmp_path, one_clock=False))["clocks"].verdict == "unknown"


@pytest.mark.parametrize(
    ("bracket_ns", "verdict", "words"),
    [(2 * MS, "pass", "host-b is +30.0 ms from host-a, known to ±2."), (40 * MS, "fail", "known to ±40.")],
)
def test_clocks_of_others_that_were_read(tmp_path: Path, bracket_ns: int, verdict: str, words: str) -> None:
    clocks = {"host-a": 5 * S, "host-b": 5 * S + 30 * MS}
    found = checks_of(record(tmp_path, one_clock=False, clocks_ns=clocks, bracket_ns=bracket_ns))["clocks"]
    assert (found.verdict, words in found.text) == (verdict, True), found.text


@pytest.mark.parametrize(
    ("nova", "qemu", "verdict", "words"),
    [
        (
            {},
            {"max-bandwidth": 2**63 - 2**20},
            "pass",
            "post-copy off, auto-converge off, TLS off, bandwidth not",
        ),
        ({"tls": True}, {"max-bandwidth": 0, "tls-creds": "objlibvirt_tls0"}, "pass", "TLS on, bandwidth not limited"),
        ({"permit_post_copy": True}, {"max-bandwidth": 0}, "fail", "not as Nova's settings want it"),
        ({"bandwidth_mib_s": 10}, {"max-bandwidth": 2**30}, "fail", "bandwidth 1.07 GB/s, downtime limit 300 ms"),
        (None, {"auto-converge": True, "max-bandwidth": 0}, "unknown", "auto-converge on"),
    ],
)
def test_whether_qemu_was_set_as_nova_s_settings_want_it(
    tmp_path: Path, nova: dict[str, Any] | None, qemu: dict[str, Any], verdict: str, words: str
) -> None:
    found = checks_of(record(tmp_path, nova=nova, qemu=qemu))["policy"]
    assert found.verdict == verdict
    assert words in found.text


def test_a_guest_that_was_idle_when_the_plan_wanted_load(tmp_path: Path) -> None:
    assert checks_of(record(tmp_path, drop=("visit",)))["load"].verdict == "fail"


def test_what_only_hosts_in_reach_tell_is_unknown_by_the_api_alone(tmp_path: Path) -> None:
    found = {name: check.verdict for name, check in checks_of(api_only(tmp_path)).items()}
    unknown = dict.fromkeys(("clocks", "policy", "data transferred", "blackout and pause", "Ceph"), "unknown")
    assert found == {"two hosts": "pass", "the probe's own loss": "pass", "load": "pass", **unknown}


def test_they_are_findings_of_the_run(tmp_path: Path) -> None:
    good, bad = record(tmp_path / "a"), record(tmp_path / "b", moved=False)
    summary = summarise({}, good.trial.plan, [result_of(good), result_of(bad)], None)
    said = [finding for finding in summary.findings if finding.topic == "check"]
    assert said[0] == Finding(
        "check",
        "fail",
        "Two hosts: the server has one hostId before and after: it was not moved to another host (trial 1).",
        {"name": "two hosts", "pass": 1, "fail": 1},
    )
    assert [finding.verdict for finding in said] == ["fail", *["pass"] * 7]
