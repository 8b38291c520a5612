"""The prober's accuracy and cost, between two namespaces of our own joined by a veth pair."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from migrascope.node.namespace import Namespace
from migrascope.probe.machine import process_cpu_ns
from migrascope.store import spool

pytestmark = pytest.mark.lab
RATE = 500
SECONDS = 6.0
CUTS_S = (0.02, 0.05, 0.1, 0.3)
NS = 10**9


@pytest.fixture
def pair() -> Iterator[tuple[Namespace, Namespace]]:
    """A client (10.9.8.1) and an instance (10.9.8.2)."""
    client, instance = (Namespace(f"ms-test-{os.getpid()}-{role}") for role in ("client", "instance"))
    try:
        for namespace in (client, instance):
            namespace.create()
        ip("link", "add", "v0", "netns", client.name, "type", "veth", "peer", "name", "v0", "netns", instance.name)
        for host, namespace in enumerate((client, instance), start=1):
            ip("-n", namespace.name, "address", "add", f"10.9.8.{host}/24", "dev", "v0")
            ip("-n", namespace.name, "link", "set", "v0", "up")
        yield client, instance
    finally:
        client.delete()
        instance.delete()


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def probe(folder: Path, client: Namespace, meanwhile: Callable[[], None]) -> float:
    """Runs the probe while `meanwhile` does; its CPU time per second of running time."""
    config: dict[str, Any] = {
        "directory": str(folder),
        "source": "echo",
        "host": "client",
        "instance": "",
        "migration": "",
    }
    config |= {"target": "10.9.8.2", "rate": RATE}
    argv = ["ip", "netns", "exec", client.name, sys.executable, "-m", "migrascope.probe.echo", json.dumps(config)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        cpu, began = process_cpu_ns(process.pid), time.monotonic_ns()
        meanwhile()
        used = (process_cpu_ns(process.pid) - cpu) / (time.monotonic_ns() - began)
        process.send_signal(signal.SIGUSR1)
        time.sleep(0.2)
        process.terminate()
        assert process.wait(5) == 0
    return used


def column(folder: Path, table: str, at: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array([row[at] for row in spool.read(folder / f"{table}@echo.jsonl")[1]], dtype=np.int64)


def test_keeps_its_deadlines_cheaply(tmp_path: Path, pair: tuple[Namespace, Namespace]) -> None:
    used = probe(tmp_path, pair[0], lambda: time.sleep(SECONDS))
    seq, due, sent = (column(tmp_path, "echo_sent", at) for at in range(3))
    lateness = (sent - due) / NS
    assert len(seq) == pytest.approx(SECONDS * RATE, rel=0.02)
    assert set(np.diff(due)) == {NS // RATE}
    assert lateness.min() >= 0
    assert np.percentile(lateness, 99) < 0.005
    assert sorted(column(tmp_path, "echo_reply", 0)) == list(seq), "each request is answered once"
    print(f"\n{100 * used:.1f} % of a core at {RATE}/s; lateness p50 {1e3 * np.median(lateness):.3f} ms, "
          f"p99 {1e3 * np.percentile(lateness, 99):.3f} ms, worst {1e3 * lateness.max():.3f} ms")  # fmt: skip
    assert used < 0.08, "5 % on an idle machine; this one may be busy"


def test_known_silences_are_measured(tmp_path: Path, pair: tuple[Namespace, Namespace]) -> None:
    client, instance = pair
    truths: list[tuple[int, int]] = []

    def silences() -> None:
        time.sleep(0.5)
        for length in CUTS_S:
            instance.write_sysctl("net/ipv4/icmp_echo_ignore_all", "1")
            begun = time.monotonic_ns()
            time.sleep(length)
            instance.write_sysctl("net/ipv4/icmp_echo_ignore_all", "0")
            truths.append((begun, time.monotonic_ns()))
            time.sleep(0.4)

    probe(tmp_path, client, silences)
    header, _ = spool.read(tmp_path / "echo_reply@echo.jsonl")
    arrivals = column(tmp_path, "echo_reply", 1) - (header["wall_ns"] - header["mono_ns"])
    for begun, ended in truths:
        gap = max((later - at for at, later in pairwise(arrivals) if at < ended and later > begun), default=0)
        error = (gap - NS // RATE - (ended - begun)) / NS
        assert abs(error) < 0.004, f"a silence of {(ended - begun) / NS:.4f} s was measured {error * 1e3:.2f} ms off"
