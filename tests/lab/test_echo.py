"""The prober's punctuality and accuracy, between two namespaces of our own joined by a veth pair."""

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

from migrascope.node.link import take_up
from migrascope.node.namespace import Namespace
from migrascope.node.process import Where
from migrascope.store import spool

pytestmark = pytest.mark.lab
RATE = 500
SECONDS = 6.0
CUTS_S = (0.02, 0.05, 0.1, 0.3, 0.02, 0.05, 0.1)
NS = 10**9


@pytest.fixture
def pair() -> Iterator[tuple[Namespace, Namespace]]:
    """A client (10.9.8.1) and an instance (10.9.8.2)."""
    client, instance = (Namespace(f"ms-test-{os.getpid()}-{role}") for role in ("client", "instance"))
    try:
        for namespace in (client, instance):
            namespace.create()
        peer = {"ifname": "v0", "net_ns_fd": instance.name}
        client.configure(lambda routes: routes.link("add", ifname="v0", kind="veth", peer=peer))
        client.configure(lambda routes: take_up(routes, "v0", "10.9.8.1/24"))
        instance.configure(lambda routes: take_up(routes, "v0", "10.9.8.2/24"))
        yield client, instance
    finally:
        client.delete()
        instance.delete()


def probe(folder: Path, client: Namespace, meanwhile: Callable[[], None]) -> None:
    """Runs the probe while `meanwhile` does."""
    config: dict[str, Any] = {
        "directory": str(folder),
        "source": "echo",
        "host": "client",
        "instance": "",
        "migration": "",
    }
    config |= {"target": "10.9.8.2", "rate": RATE, "kind": "icmp"}
    argv = Where(client).command([sys.executable, "-m", "migrascope.probe.echo", json.dumps(config)])
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        meanwhile()
        process.send_signal(signal.SIGUSR1)
        time.sleep(0.2)
        process.terminate()
        assert process.wait(5) == 0


def column(folder: Path, table: str, at: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array([row[at] for row in spool.read(folder / f"{table}@echo.jsonl")[1]], dtype=np.int64)


def test_keeps_its_deadlines(tmp_path: Path, pair: tuple[Namespace, Namespace]) -> None:
    probe(tmp_path, pair[0], lambda: time.sleep(SECONDS))
    seq, due, sent = (column(tmp_path, "echo_sent", at) for at in range(3))
    lateness = (sent - due) / NS
    assert len(seq) == pytest.approx(SECONDS * RATE, rel=0.02)
    assert set(np.diff(due)) == {NS // RATE}
    assert lateness.min() >= 0
    assert np.median(lateness) < 0.002
    assert sorted(column(tmp_path, "echo_reply", 0)) == list(seq), "each request is answered once"


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
    errors = []
    for begun, ended in truths:
        gap = max((later - at for at, later in pairwise(arrivals) if at < ended and later > begun), default=0)
        errors.append((gap - NS // RATE - (ended - begun)) / NS)
    assert len(errors) == len(CUTS_S)
    assert abs(np.median(errors)) < 0.004, errors
