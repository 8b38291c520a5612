"""The report's section on OpenStack: what each layer saw, and where the seconds and the blackout went."""

from itertools import pairwise
from pathlib import Path

import pytest
from cloudtrial import MS, api_only, record
from faketrial import record as record_qemu
from ovntrial import wired

from migrascope.analysis.cells import summarise
from migrascope.analysis.run import analyse, result_of
from migrascope.analysis.summary import Summary
from migrascope.metrics.blackout_steps import STEPS, UNEXPLAINED
from migrascope.metrics.packets import Packets
from migrascope.metrics.windows import end_of, windows_of
from migrascope.model.measured import Measured
from migrascope.report.build import write_results
from migrascope.report.page.downtimes import downtimes
from migrascope.report.page.layers import Layers, drawn, layers
from migrascope.report.page.step_durations import shares, steps
from migrascope.store.recording import Recording
from migrascope.store.runfolder import RunFolder


def seen_in(recording: Recording) -> Layers | None:
    packets = Packets.of(recording, end_of(recording))
    return layers(recording, windows_of(recording, packets), packets)


def summary_of(recording: Recording) -> Summary:
    return summarise({}, recording.trial.plan, [result_of(recording)], None)


def labels(found: Layers) -> dict[str, list[str]]:
    return {name: [span.label for span in spans] for name, spans in found.lanes.items()}


def test_every_layer_has_its_lane(tmp_path: Path) -> None:
    found = seen_in(record(tmp_path))
    assert found is not None
    assert labels(found) == {
        "Nova: record": ["accepted", "running", "completed"],
        "Nova: server": ["ACTIVE", "MIGRATING", "ACTIVE"],
        "Neutron: port": ["host-a", "host-a + host-b", "host-b + host-a", "host-b"],
        "libvirt": ["job"],
        "QEMU": ["runs on host-a", "copy", "paused", "runs on host-b"],
        "Network": ["frames to host-a", "to nobody", "frames to host-b"],
        "Visitor": ["answered", "no reply", "answered"],
    }
    for spans in found.lanes.values():
        assert all(a.end_s <= b.start_s + 1e-6 for a, b in pairwise(spans))


def test_ovn_has_a_lane_with_what_it_had_the_port_on(tmp_path: Path) -> None:
    found = seen_in(wired(tmp_path, "to-compute"))
    assert found is not None
    # The scripted migration is over before OVN switches the port.
    assert labels(found)["OVN: port"] == ["host-a", "host-a; host-b waits for the RARP", "host-a + host-b"]
    assert found.lanes["OVN: port"][-1].end_s == found.whole[1]
    assert all(a.end_s == b.start_s for a, b in pairwise(found.lanes["OVN: port"]))


def test_by_the_api_alone_it_has_the_apis_lanes_and_the_visitors(tmp_path: Path) -> None:
    found = seen_in(api_only(tmp_path))
    assert found is not None
    assert list(found.lanes) == ["Nova: record", "Nova: server", "Neutron: port", "Visitor"]
    assert found.close is None


def test_another_lab_has_no_such_section(tmp_path: Path) -> None:
    recording = record_qemu(tmp_path)
    assert seen_in(recording) is None
    assert steps(summary_of(recording), ["scenario"]) is None
    run = RunFolder(recording.folder.parents[1])
    page = write_results(run, analyse(run)).read_text(encoding="utf-8")
    assert 'id="layers"' not in page


def test_boxes_fill_the_lane(tmp_path: Path) -> None:
    found = seen_in(record(tmp_path))
    assert found is not None
    whole, close = drawn(found)
    for stretch in (whole, close):
        boxes = dict(stretch["lanes"])["QEMU"]
        assert sum(box["width"] for box in boxes) == pytest.approx(100, abs=0.01)
        assert stretch["ticks"]


def test_the_parts_of_the_blackout_by_direction(tmp_path: Path) -> None:
    ((name, parts),) = shares(summary_of(record(tmp_path, early_ns=400 * MS)), ["scenario"])
    assert name == "relay, host-a → host-b"
    assert parts["early"] == pytest.approx(400, abs=0.1)
    assert parts["pause"] == pytest.approx(200, abs=1)
    assert parts["late"] == 0


def test_the_downtime_as_each_layer_counts_it(tmp_path: Path) -> None:
    rows = downtimes(summary_of(record(tmp_path)))
    assert {row["name"]: row["values"] for row in rows} == {
        "QEMU": ["160 ms"], "VM pause": ["200 ms"], "libvirt, net": ["229 ms"], "libvirt": ["230 ms"],
        "Network blackout": ["261 ms"], "libvirt − VM pause": ["+30.0 ms (+30.0 to +30.0)"],
    }  # fmt: skip
    assert downtimes(summary_of(api_only(tmp_path / "far"))) == []


def test_the_blackout_s_steps_are_a_table(tmp_path: Path) -> None:
    summary = summary_of(wired(tmp_path, "to-compute", late_ns=20 * MS))
    found = steps(summary, ["scenario"])
    assert found is not None
    rows = {row["name"]: row["values"] for row in found["blackout"]}
    plain_ones = [name.replace("_", " ") for name in STEPS if name not in ("claim", "move", "repeats")]
    assert list(rows) == [*plain_ones, UNEXPLAINED]
    assert rows["pause"] == ["200 ms"]
    (result,) = summary.trials
    result.metrics["blackout_step_ipv6_s.pause"] = Measured(0.21, "s", "qmp_event", samples=1)
    both = steps(summarise({}, summary.plan, [result], None), ["scenario"])
    assert both is not None
    last = both["blackout"][-1]
    assert (last["name"], last["what"], last["values"]) == ("pause, IPv6", "the VM stands still", ["210 ms"])
    plain = steps(summary_of(record(tmp_path / "agents")), ["scenario"])
    assert plain is not None
    assert "flows" not in {row["name"] for row in plain["blackout"]}


def test_the_page_has_it(tmp_path: Path) -> None:
    recording = record(tmp_path)
    run = RunFolder(recording.folder.parents[1])
    page = write_results(run, analyse(run)).read_text(encoding="utf-8")
    assert 'id="layers"' in page
    assert 'data-layers="1"' in page
    assert "pre live migration" in page
    assert 'id="blackout-steps"' in page
