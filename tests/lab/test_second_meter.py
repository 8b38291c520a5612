"""The second meter: what a capture of a real migration says, beside tshark, the echo probe and TCP_INFO."""

import random
import re
import subprocess
from collections import defaultdict
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lab.machine import only_trial
from migrascope.metrics.packets import Packets
from migrascope.metrics.trial import measure
from migrascope.metrics.windows import WINDOWS, end_of, windows_of
from migrascope.qos.examine import examine
from migrascope.qos.result import Qos
from migrascope.store.pcap import writer
from migrascope.store.pcap.layers import SYN, TCP, headers
from migrascope.store.pcap.reader import Capture
from migrascope.store.recording import Recording
from needs import tshark_program
from second_meter import kept, pairs

pytestmark = pytest.mark.lab
PLAN = """
name = "captured"
blocks = 1
[axes]
scenario = ["offline"]
[windows]
before = "3s"
[probes]
dirty = false
echo_rate = 300
[visitors]
new_rate = 5
kept_rate = 20
[capture]
enabled = true
"""
COUNTS = ("retransmitted", "out_of_order", "lost_segments", "duplicate_acks")
FIELDS = ("retransmission", "out_of_order", "lost_segment", "duplicate_ack")


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """A trial with a capture."""
    return only_trial(tmp_path_factory.mktemp("captured"), PLAN)


@pytest.fixture(scope="module")
def capture(recording: Recording) -> Path:
    """Its capture."""
    assert recording.capture is not None
    return recording.capture


@pytest.fixture(scope="module")
def qos(capture: Path) -> Qos:
    return examine(capture)


def tshark(*arguments: str) -> str:
    return subprocess.run([tshark_program(), *arguments], capture_output=True, text=True, check=True).stdout


def judged(path: Path) -> tuple[list[list[int]], dict[int, float]]:
    """tshark's packets and counts (COUNTS) of each TCP stream, and by stream its initial round trip."""
    names = ["tcp.stream", *(f"tcp.analysis.{name}" for name in (*FIELDS, "initial_rtt"))]
    fields = [word for name in names for word in ("-e", name)]
    counts: dict[int, list[int]] = defaultdict(lambda: [0] * 5)
    initial: dict[int, float] = {}
    for line in tshark("-r", str(path), "-Y", "tcp", "-T", "fields", *fields).splitlines():
        stream, *found, trip = line.split("\t")
        for at, word in enumerate(["a packet", *found]):
            counts[int(stream)][at] += word != ""
        if trip:
            initial[int(stream)] = float(trip)
    return [counts[stream] for stream in range(len(counts))], initial


def ours(qos: Qos) -> tuple[list[list[int]], dict[int, float]]:
    """The same of ours: flows come by their first packets, as tshark's streams do."""
    flows = [flow for flow in qos.flows if flow.protocol == "tcp"]
    counts = [
        [sum(direction.counts[name] for direction in flow.directions) for name in ("packets", *COUNTS)]
        for flow in flows
    ]
    initial = {at: flow.initial_rtt.value for at, flow in enumerate(flows) if flow.initial_rtt.value is not None}
    return counts, initial


def test_the_capture_is_whole(recording: Recording, capture: Path, qos: Qos) -> None:
    table = recording.table("capture")
    assert int(table["drops"].sum()) == 0
    assert qos.totals.packets == int(table["packets"].sum()) > 5000
    assert not qos.totals.cut
    assert len(tshark("-r", str(capture), "-T", "fields", "-e", "frame.number").splitlines()) == qos.totals.packets


def test_every_flow_is_as_tshark_has_it(capture: Path, qos: Qos) -> None:
    theirs, their_initial = judged(capture)
    found, initial = ours(qos)
    assert found == theirs
    assert sum(counts[1] for counts in theirs) > 0, "the blackout made nobody send again"
    assert initial == pytest.approx(their_initial, abs=1.5e-9)


def test_packets_and_bytes_by_second_are_as_tshark_has_them(capture: Path, qos: Qos) -> None:
    told = tshark("-r", str(capture), "-q", "-z", "io,stat,1")
    rows = re.findall(r"^\|\s*(\d+)(?:\.\d+)? <> +(?:Dur|[\d.]+) *\|\s*(\d+) \|\s*(\d+) \|", told, re.MULTILINE)
    theirs = [(float(start), int(packets), int(size)) for start, packets, size in rows if packets != "0"]
    times = np.concatenate([frames.time_ns for frames in Capture(capture).batches()])
    apart = (times - times[0]) % 10**9
    edge = int(((apart < 1000) | (apart > 10**9 - 1000)).sum()) - 1  # tshark cuts stamps to microseconds; not the first
    assert [start for start, _, _ in theirs] == [start for start, _, _ in qos.totals.windows]
    assert sum(packets for _, packets, _ in theirs) == qos.totals.packets
    differing = [pair for pair in zip(theirs, qos.totals.windows, strict=True) if pair[0] != pair[1]]
    assert len(differing) <= 2 * edge, differing


def test_losses_and_disorder_are_as_tshark_has_them(capture: Path, tmp_path: Path) -> None:
    path, total, different = tmp_path / "worse.pcapng", [0] * 5, 0
    handshakes = known = same = 0
    for seed in range(10):
        worsen(capture, path, random.Random(seed))
        theirs, their_initial = judged(path)
        found, initial = ours(examine(path))
        assert [merged(counts) for counts in found] == [merged(counts) for counts in theirs]
        different += sum(abs(mine[1] - other[1]) for mine, other in zip(found, theirs, strict=True))
        total = [sum(counts) for counts in zip(total, *theirs, strict=True)]
        trips = [(trip, their_initial[flow]) for flow, trip in initial.items() if flow in their_initial]
        handshakes, known = handshakes + len(their_initial), known + len(trips)
        same += sum(abs(mine - other) < 1.5e-9 for mine, other in trips)
    assert all(count > 5 for count in total), total
    assert known > 0.98 * handshakes
    assert same >= 0.98 * known, "the handshake's last segment may be late or missing"
    assert different <= 0.01 * (total[1] + total[2])


def merged(counts: list[int]) -> list[int]:
    """Counts with those sent again and those out of order as one."""
    packets, again, late, *rest = counts
    return [packets, again + late, *rest]


def worsen(source: Path, target: Path, chance: random.Random) -> None:
    """A copy with 3 % of the packets missing, 3 % twice, and 14 % late; handshakes are left as they are. What comes
    again within 1 ms is one packet that was captured twice, to us and not to tshark: these come later."""
    packets = []
    for frames in Capture(source).batches():
        found = headers(frames)
        asks = (found.protocol == TCP) & (found.block[:, 13] & SYN > 0)
        for at, captured, time, wire, whole in zip(
            frames.at.tolist(), frames.captured.tolist(), frames.time_ns.tolist(), frames.wire.tolist(), asks.tolist(),
            strict=True,
        ):  # fmt: skip
            fate, frame = 1.0 if whole else chance.random(), bytes(frames.data[at : at + captured])
            if 0.06 <= fate < 0.2:
                time += chance.choice([30_000, 100_000, 300_000, 1_000_000, 10_000_000])
            if fate >= 0.03:
                packets.append((time, frame, wire))
            if 0.03 <= fate < 0.06:
                packets.append((time + chance.choice([1_500_000, 2_000_000, 30_000_000, 300_000_000]), frame, wire))
    with target.open("wb") as file:
        writer.write(file, "worse", sorted(packets, key=lambda packet: packet[0]))


def test_both_meters_agree(recording: Recording) -> None:
    """Within the bounds that the benchmark states; what the blackout took is there to be counted."""
    found = pairs(recording)
    assert [(name, pair) for name, pair in found.items() if not pair.agrees] == []
    assert found["echo requests lost"].ours > 0
    assert found["segments sent again"].captured > 0
    received = found["payload received [B]"]
    assert received.captured > 0.999 * received.ours


def test_as_many_echoes_and_kept_connections_were_captured(recording: Recording, qos: Qos) -> None:
    packets = Packets.of(recording, end_of(recording))
    echoes = [direction for flow in qos.flows if flow.protocol == "icmp" for direction in flow.directions]
    begun = recording.wall_clock.to_mono(qos.totals.begin_ns)
    requests = max(direction.counts["requests"] for direction in echoes)
    assert abs(requests - int((packets.sent_ns >= begun).sum())) <= 2
    sockets = recording.table("tcp_info").filter(pl.col("kind") != "new").group_by("source", "flow")
    lasted = sockets.agg(pl.col("mono_ns").max() - pl.col("mono_ns").min())
    told = lasted.filter(pl.col("mono_ns") > qos.totals.duration_s * 1e9 / 2)  # a viewer may have connected anew
    assert len(kept(qos)) == told.height


def test_the_sniffers_metrics_are_there(recording: Recording) -> None:
    found = measure(recording)
    for name in ("delay_s", "jitter_s"):
        for series in ("received", "sent", "flow"):
            values = [found[f"sniffer.{name}.{series}.{window}"].value for window in WINDOWS]
            assert all(value is not None and 0 < value < 1 for value in values), (name, series)
    before, delay = windows_of(recording).before, found["sniffer.delay_s.received.before"]
    assert before is not None
    seconds = (before[1] - before[0]) / 1e9
    assert delay.value is not None
    assert delay.samples is not None
    assert delay.value * delay.samples == pytest.approx(seconds, rel=0.05)
