"""Sniffer delay and jitter: the spacing of a capture's packets, in the windows of its trial."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faketrial import FACTORS, PLAN, SCRIPT, light, record
from judged import result, said

from captures import ethernet, icmp, ip, tcp
from fakerun import fake_run
from migrascope.analysis.results import TrialResult
from migrascope.analysis.run import analyse
from migrascope.metrics import sniffer
from migrascope.metrics.packets import Packets
from migrascope.metrics.windows import windows_of
from migrascope.model.axes import Scenario
from migrascope.model.measured import Measured
from migrascope.model.plan import Plan
from migrascope.model.schedule import TrialSpec
from migrascope.report.build import write_results
from migrascope.store.pcap import writer
from migrascope.store.recording import Recording
from migrascope.store.runfolder import RunFolder
from migrascope.study.labs.fake import FakeTrials
from migrascope.study.plans import text_of

CLIENT, WEBSITE = "192.0.2.30", "10.0.4.100"
MS = 1_000_000
SCENARIOS: list[Scenario] = ["none", "offline"]
Sent = tuple[int, bytes, int]
"""(mono ns, frame, direction)"""


def packet(at: int, *, inward: bool = True, port: int = 80, own: int = 40000) -> Sent:
    if inward:
        return at, ethernet(ip(WEBSITE, CLIENT, 6, tcp((port, own), 1, 1, 16, b"x"))), 1
    return at, ethernet(ip(CLIENT, WEBSITE, 6, tcp((own, port), 1, 1, 16, b"x"))), 2


def captured(folder: Path, packets: list[Sent], scenario: Scenario = FACTORS.scenario, plan: Plan = PLAN) -> Recording:
    """A sealed trial of the fake lab with a capture of these packets."""
    run = RunFolder.create(folder, text_of(plan), {})
    opened = run.open_trial(1)
    factors = replace(FACTORS, scenario=scenario)
    facts = FakeTrials(plan, lambda _: SCRIPT).run_now(TrialSpec(1, 1, factors, "host-a", "host-b"), opened)
    offset = record(folder / "clock").wall_clock.offset_ns()
    with (opened / "capture@client.pcapng").open("wb") as file:
        file.write(writer.header("v0", 128))
        for at, frame, direction in sorted(packets, key=lambda each: each[0]):
            file.write(writer.packet(at + offset, frame, len(frame), direction))
    return run.seal_trial(opened, facts)


def measured(recording: Recording) -> dict[str, Measured]:
    windows = windows_of(recording, Packets.of(recording, 0))
    return sniffer.measure(recording, windows)


def test_a_stream_within_the_visitors_machine_is_in_no_capture(tmp_path: Path, before: tuple[int, int]) -> None:
    """Its figures would be those of the page alone, and be taken for the stream's."""
    packets = [packet(at) for at in spaced(before[0] + MS, [10.0, 30.0, 10.0])]
    hosts = {"hosts": ["qemu+ssh://a/system", "qemu+ssh://b/system"], "guest": {"pool": "p", "bridge": "b"}}
    there: dict[str, dict[str, Any]] = {
        "libvirt": {"lab": {"kind": "libvirt"}, "libvirt": hosts, "axes": {"scenario": ["none"]}},
        "cloud": {"lab": {"kind": "openstack"}, "cloud": {"name": "theirs"}},
    }
    for name, parts in there.items():
        plan = Plan.model_validate({**PLAN.model_dump(mode="json", exclude_unset=True), **parts})
        reason = measured(captured(tmp_path / name, packets, "online", plan))["sniffer.delay_s.received.before"].reason
        assert reason is not None
        assert "within their machine" in reason
        relayed = measured(captured(tmp_path / f"{name}-relay", packets, "relay", plan))
        assert relayed["sniffer.delay_s.received.before"].value is not None
    here = measured(captured(tmp_path / "here", packets, "online"))
    assert here["sniffer.delay_s.received.before"].value is not None


@pytest.fixture
def before(tmp_path: Path) -> tuple[int, int]:
    """The window before of the trial that `captured` records."""
    found = windows_of(record(tmp_path / "windows")).before
    assert found is not None
    return found


def spaced(begin: int, gaps_ms: list[float]) -> Iterator[int]:
    yield begin
    for gap in np.cumsum(gaps_ms):
        yield begin + round(gap * MS)


def test_the_mean_gap_and_its_mean_change(tmp_path: Path, before: tuple[int, int]) -> None:
    gaps = [10.0, 30.0, 10.0, 50.0]
    found = measured(captured(tmp_path, [packet(at) for at in spaced(before[0] + MS, gaps)]))
    assert found["sniffer.delay_s.received.before"].value == pytest.approx(0.025, abs=1e-6)
    assert found["sniffer.delay_s.received.before"].samples == 4
    assert found["sniffer.jitter_s.received.before"].value == pytest.approx(np.mean([20, 20, 40]) / 1e3, abs=1e-6)
    assert found["sniffer.delay_s.sent.before"].reason == "too few packets in before"
    assert found["sniffer.delay_s.received.after"].reason == "too few packets in after"


def test_directions_and_flows_are_kept_apart(tmp_path: Path, before: tuple[int, int]) -> None:
    begin = before[0] + MS
    packets = [packet(at, own=40000) for at in spaced(begin, [20.0] * 10)]
    packets += [packet(at + 5 * MS, own=40001) for at in spaced(begin, [20.0] * 10)]
    packets += [packet(at, inward=False) for at in spaced(begin, [7.0] * 10)]
    found = measured(captured(tmp_path, packets))
    assert found["sniffer.delay_s.flow.before"].value == pytest.approx(0.020, abs=1e-6)
    assert found["sniffer.jitter_s.flow.before"].value == pytest.approx(0, abs=1e-6)
    assert found["sniffer.delay_s.received.before"].value == pytest.approx(0.205 / 21, abs=1e-6)
    assert found["sniffer.jitter_s.received.before"].value == pytest.approx(0.010, abs=1e-6)
    assert found["sniffer.delay_s.sent.before"].value == pytest.approx(0.007, abs=1e-6)


def test_our_own_probes_are_left_out(tmp_path: Path, before: tuple[int, int]) -> None:
    begin = before[0] + MS
    reply = ethernet(ip(WEBSITE, CLIENT, 1, icmp(0, 1, 1)))
    packets = [packet(at) for at in spaced(begin, [20.0] * 10)]
    packets += [packet(at, port=8080) for at in spaced(begin + MS, [3.0] * 10)]
    packets += [(at, reply, 1) for at in spaced(begin + MS, [2.0] * 50)]
    assert measured(captured(tmp_path, packets))["sniffer.delay_s.received.before"].value == pytest.approx(0.02)


def test_without_a_capture_it_says_why(tmp_path: Path) -> None:
    found = measured(record(tmp_path))
    assert {each.reason for each in found.values()} == {"the plan has no capture"}
    assert len(found) == 2 * 3 * 4


def test_an_unreadable_capture_says_why(tmp_path: Path, before: tuple[int, int]) -> None:
    recording = captured(tmp_path, [packet(before[0])])
    assert recording.capture is not None
    recording.capture.write_bytes(b"")
    assert all("is empty" in (each.reason or "") for each in measured(recording).values())


def results(delay_s: dict[str, float]) -> list[TrialResult]:
    """Six blocks of two scenarios whose sniffer delay is this, and varies little."""
    return [
        result(
            2 * block + at, block, replace(FACTORS, scenario=scenario),
            **{
                "sniffer.delay_s.received.switchover": delay_s[scenario] * (1 + 0.01 * block),
                "sniffer.jitter_s.received.switchover": 0.001 * (-1) ** (block + at) + 0.005,
            },
        )
        for block in range(6)
        for at, scenario in enumerate(SCENARIOS)
    ]  # fmt: skip


def test_whether_a_scenario_changes_what_a_sniffer_prints() -> None:
    texts = [finding.text for finding in said(results({"none": 0.004, "offline": 0.001}), "scenario")]
    assert len(texts) == 2
    assert re.search(r"offline against none, paired within 6 blocks: 3.0\d ms less sniffer delay \(.*\)\.", texts[1])
    assert "Not shown to differ: sniffer jitter." in texts[1]
    assert "no network's delay" in texts[1]


def test_without_captures_nothing_is_said_of_sniffers() -> None:
    without = [replace(trial, metrics={k: v for k, v in trial.metrics.items() if "sniffer" not in k})
               for trial in results({"none": 1, "offline": 1})]  # fmt: skip
    assert not [finding for finding in said(without, "scenario") if "sniffer" in finding.text]


def test_the_report_has_its_section_only_with_a_capture(tmp_path: Path) -> None:
    for enabled in (False, True):
        plan = light(blocks=1, axes={"scenario": ["none"]}, capture={"enabled": enabled})
        page = write_results(made := fake_run(tmp_path, plan), analyse(made)).read_text(encoding="utf-8")
        assert ("As a packet sniffer prints it" in page) == enabled
        assert ("no one-way delay (RFC 7679)" in page) == enabled
        assert ("no packet delay variation (RFC 3393)" in page) == enabled
