"""How fast `migrascope qos` reads, beside tshark, and what it needs of memory.

    .venv/bin/python benchmarks/qos.py [GB]

Captures of 1000 TCP flows, headers only, are generated into a temporary folder and removed afterwards. Of three tries,
in turn with tshark's, the fastest counts on either side. A large one (GB: its size, 5 by default) comes through a pipe
while it is generated, and needs no disk. Goals on one core: 12 times as fast as tshark's conversations and I/O
statistics of the same file; the same packets in Geneve and VXLAN at half of the speed; of the large one 500 MB at most.
"""

import multiprocessing
import os
import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common import verdict
from migrascope.store.pcap import writer
from migrascope.study.runs.environment import environment

FLOWS = 1000
ROUNDS = 100
ROUND = 4  # a request, two segments, an acknowledgement
FRAME = 66
DELAY_NS = 10_000_000
SMALL = 4_000_000
TRIES = 3
STEP_NS = 12_000
Rows = NDArray[np.uint8]


@dataclass(frozen=True)
class Layout:
    """A capture format: what the file begins with, what stands before and behind each frame, and what the packets are
    inside of."""

    name: str
    header: bytes
    before: int
    behind: int
    tunnel: bytes = b""

    @property
    def captured(self) -> int:
        return len(self.tunnel) + FRAME


def tunnel(port: int, header: bytes) -> bytes:
    """What stands before a frame in a tunnel over UDP."""
    outer = struct.pack(">HBBHHHBBH", 0x0800, 0x45, 0, 0, 1, 0, 64, 17, 0) + bytes([10, 9, 0, 1, 10, 9, 0, 2])
    return bytes(12) + outer + struct.pack(">HHHH", 50000, port, 0, 0) + header


GENEVE = tunnel(6081, struct.pack(">BBHI", 2, 0, 0x6558, 42 << 8) + bytes(8))
VXLAN = tunnel(4789, struct.pack(">II", 8 << 24, 42 << 8))
NG = Layout("pcapng", writer.header("bench", FRAME), 28, 2 + 4)
CLASSIC = Layout("pcap", struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, FRAME, 1), 16, 0)
OVERLAYS = (
    Layout("Geneve", writer.header("bench", FRAME + len(GENEVE)), 28, 4, GENEVE),
    Layout("VXLAN", writer.header("bench", FRAME + len(VXLAN)), 28, 4, VXLAN),
)


def put(rows: Rows, at: int, values: NDArray[np.int64] | int, width: int, order: str = ">") -> None:
    """Writes a number into each row."""
    numbers = np.broadcast_to(np.asarray(values, dtype=np.int64), len(rows)).astype(f"{order}u{width}")
    rows[:, at : at + width] = numbers.view(np.uint8).reshape(len(rows), width)


class Traffic:
    """1000 flows, each a request, two segments after 10 ms and an acknowledgement, again and again."""

    def __init__(self, layout: Layout) -> None:
        chance = np.random.default_rng(1)
        rounds = FLOWS * ROUNDS
        flow = np.tile(np.arange(FLOWS), ROUNDS)
        begin = np.arange(rounds) * STEP_NS * ROUND + chance.integers(0, STEP_NS, rounds)
        turn = np.arange(rounds) // FLOWS
        offsets = np.array([0, DELAY_NS, DELAY_NS + 2000, DELAY_NS + 4000])
        time = (begin[:, None] + offsets).ravel()
        order = np.argsort(time, kind="stable")
        self.time = time[order]
        self.length = int(rounds * STEP_NS * ROUND)
        kind = np.tile(np.arange(ROUND), rounds)[order]
        flow, turn = np.repeat(flow, ROUND)[order], np.repeat(turn, ROUND)[order]
        self.served = (kind == 1) | (kind == 2)
        carried = np.array([100, 1448, 1448, 0])[kind]
        asked, answered = turn * 100, turn * 2896
        self.seq = np.where(self.served, answered + 1448 * (kind == 2), asked + 100 * (kind == 3))
        self.ack = np.where(self.served, asked + 100, answered + 2896 * (kind == 3))
        self.stamp = self.time // 1_000_000
        echoed = np.where(kind == 0, 0, np.where(kind == 3, self.time - 4000, self.time - offsets[kind]))
        self.echoed = echoed // 1_000_000
        self.layout = layout
        self.rows = self._frames(flow, carried, kind)

    def _frames(self, flow: NDArray[np.int64], carried: NDArray[np.int64], kind: NDArray[np.int64]) -> Rows:
        layout, served = self.layout, self.served
        rows = np.zeros((len(flow), layout.before + layout.captured + layout.behind), dtype=np.uint8)
        if layout.name != CLASSIC.name:
            put(rows, 0, 6, 4, "<")
            put(rows, 4, rows.shape[1], 4, "<")
            put(rows, rows.shape[1] - 4, rows.shape[1], 4, "<")
        put(rows, layout.before - 8, layout.captured, 4, "<")
        put(rows, layout.before - 4, layout.captured + carried, 4, "<")
        at = layout.before
        if layout.tunnel:
            rows[:, at : at + len(layout.tunnel)] = np.frombuffer(layout.tunnel, dtype=np.uint8)
            put(rows, at + 16, layout.captured - 14 + carried, 2)
            put(rows, at + 38, layout.captured - 34 + carried, 2)
            at += len(layout.tunnel)
        put(rows, at + 12, 0x0800, 2)
        put(rows, at + 14, 0x45, 1)
        put(rows, at + 16, 52 + carried, 2)
        put(rows, at + 22, 64 << 8 | 6, 2)
        ends = 0x0A000001 + flow // 100, np.full(len(flow), 0xC0000201)
        ports = 20000 + flow, np.full(len(flow), 80)
        for place, width, pair in ((26, 4, ends), (34, 2, ports)):
            put(rows, at + place, np.where(served, pair[1], pair[0]), width)
            put(rows, at + place + width, np.where(served, pair[0], pair[1]), width)
        put(rows, at + 46, np.where(kind == 3, 0x8010, 0x8018), 2)
        put(rows, at + 48, 500, 2)
        put(rows, at + 54, 0x0101080A, 4)
        return rows

    def part(self, number: int) -> Rows:
        """The number-th stretch of it, which goes on where the one before ended."""
        layout, rows = self.layout, self.rows
        time = 1_700_000_000 * 10**9 + self.time + number * self.length
        if layout.name != CLASSIC.name:
            put(rows, 12, time >> 32, 4, "<")
            put(rows, 16, time & 0xFFFFFFFF, 4, "<")
        else:
            put(rows, 0, time // 10**9, 4, "<")
            put(rows, 4, time % 10**9, 4, "<")
        at, again = layout.before + len(layout.tunnel), number * ROUNDS
        put(rows, at + 38, self.seq + again * np.where(self.served, 2896, 100), 4)
        put(rows, at + 42, self.ack + again * np.where(self.served, 100, 2896), 4)
        put(rows, at + 58, self.stamp + number * self.length // 1_000_000, 4)
        put(rows, at + 62, self.echoed + number * self.length // 1_000_000, 4)
        return rows


def generate(path: Path, layout: Layout, packets: int) -> int:
    """Writes at least so many packets, and gives their number. In a process of its own: a command's peak memory would
    begin with that of the process that starts it."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_generate, (path, layout.name, packets))


def _generate(path: Path, name: str, packets: int) -> int:
    layout = {each.name: each for each in (NG, CLASSIC, *OVERLAYS)}[name]
    traffic, written = Traffic(layout), 0
    with path.open("wb") as file:
        file.write(layout.header)
        while written < packets:
            part = traffic.part(written // len(traffic.rows))
            file.write(part.data)
            written += len(part)
    return written


@dataclass(frozen=True)
class Cost:
    """A finished command: CPU and elapsed seconds, peak memory in bytes, what it printed."""

    cpu_s: float
    elapsed_s: float
    memory: int
    words: str


def cost(argv: list[str]) -> Cost:
    """Runs a command on one core. CalledProcessError when it fails."""
    with tempfile.TemporaryFile("w+") as output:
        began = os.times().elapsed
        child = subprocess.Popen(["taskset", "-c", "0", *argv], stdout=output, stderr=subprocess.DEVNULL)
        _, status, used = os.wait4(child.pid, 0)
        elapsed = os.times().elapsed - began
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise subprocess.CalledProcessError(child.returncode, argv)
        output.seek(0)
        return Cost(used.ru_utime + used.ru_stime, elapsed, used.ru_maxrss * 1024, output.read())


def ours(path: Path) -> Cost:
    return cost([sys.executable, "-P", "-m", "migrascope", "qos", str(path)])


def streamed(folder: Path, layout: Layout, packets: int) -> tuple[int, Cost]:
    """(how many packets, what it cost) of a capture that is generated while it is read."""
    path = folder / f"pipe.{layout.name}"
    os.mkfifo(path)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        written = pool.apply_async(_generate, (path, layout.name, packets))
        found = ours(path)
        return written.get(), found


def theirs(path: Path) -> Cost:
    return cost(["tshark", "-r", str(path), "-q", "-z", "io,stat,1", "-z", "conv,tcp"])


def line(what: str, packets: int, used: Cost) -> str:
    return (
        f"{what:28}{packets / 1e6:8.1f} M packets{used.cpu_s:8.2f} s of CPU{packets / used.cpu_s / 1e6:8.2f} M/s"
        f"{used.memory / 1e6:7.0f} MB"
    )


def main() -> None:
    large = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    here = environment()
    print(f"{here['cpu']}, {here['cores']} cores, kernel {here['kernel']}")
    with tempfile.TemporaryDirectory(prefix="migrascope-qos-") as folder:
        ratios, speeds = [], []
        for layout in (NG, CLASSIC, *OVERLAYS):
            path = Path(folder, f"small.{layout.name}")
            packets = generate(path, layout, SMALL)
            tries = [(ours(path), theirs(path)) for _ in range(TRIES)]
            found, tshark = (min(each, key=lambda used: used.cpu_s) for each in zip(*tries, strict=True))
            assert f"{packets} packets" in found.words
            print(line(f"qos, {layout.name}", packets, found))
            print(line(f"tshark, {layout.name}", packets, tshark))
            ratios.append(tshark.cpu_s / found.cpu_s)
            speeds.append(packets / found.cpu_s)
            path.unlink()
        print("ratio to tshark:", ", ".join(f"{ratio:.1f}" for ratio in ratios))
        most = 0
        for layout in (NG, OVERLAYS[0]):
            wanted = round(large * 1e9 / (layout.before + layout.captured + layout.behind))
            packets, found = streamed(Path(folder), layout, wanted)
            assert f"{packets} packets" in found.words
            print(line(f"qos, {layout.name}, {large:g} GB", packets, found))
            most = max(most, found.memory)
        print("goal (12 times tshark):", verdict(min(ratios[:2]) >= 12))
        print("goal (overlays at half of the speed):", verdict(min(speeds[2:]) >= speeds[0] / 2))
        print("goal (500 MB):", verdict(most <= 500e6))


if __name__ == "__main__":
    main()
