"""The guest's load: its pace, its patterns, its work on real memory, files and sockets, its processes."""

import array
import ctypes
import inspect
import itertools
import json
import os
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from migrascope.guest import stress
from migrascope.guest.steps import Steps
from migrascope.guest.workers import Status, Workers, read_status

LIBRARY = str(Path(stress.__file__).parents[2])


class Clock:
    """A clock that only sleeping and working move."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize("rate", [0.5, 30, 40000])
def test_the_pace_is_kept(rate: float) -> None:
    clock = Clock()
    done = 0
    for count in stress.pace(rate, clock, clock.sleep):
        done += count
        if clock.now > 20:
            break
    assert done == pytest.approx(rate * clock.now, abs=max(1, rate * 0.01))


def test_what_was_missed_is_not_made_up_for() -> None:
    clock = Clock()
    turns = stress.pace(1000, clock, clock.sleep)
    next(turns)
    clock.now += 10
    assert next(turns) == 1000 * stress.LATE_S
    assert sum(itertools.islice(turns, 20)) < 200


def test_patterns() -> None:
    draw = random.Random(1)
    words = array.array("I", [draw.getrandbits(32) for _ in range(4096)])
    hot = Counter(stress.pages_of("hot", 1000, words))
    assert sum(count for page, count in hot.items() if page < 100) / len(words) == pytest.approx(0.91, abs=0.02)
    assert set(hot) != set(range(100))
    assert stress.pages_of("sequential", 4, array.array("I", [3, 3, 3])) == [3, 0, 1]
    assert max(stress.pages_of("random", 10, words)) == 9


@pytest.mark.parametrize("pattern", ["random", "sequential", "hot", "few"])
def test_memory_counts_a_page_for_each_write(pattern: str) -> None:
    unit, work = stress.memory({"set": str(64 * 4096), "pattern": pattern})
    assert unit == 4096
    assert work(100) == 100 * 4096


@pytest.mark.parametrize("pattern", ["random", "sequential", "hot", "few"])
def test_every_write_changes_its_page(pattern: str) -> None:
    pages = 8
    _, work = stress.memory({"set": str(pages * 4096), "pattern": pattern})
    held = inspect.getclosurevars(work).nonlocals["held"]
    changed: set[int] = set()
    for _ in range(100):
        before = bytes(held)
        work(1)
        written = np.flatnonzero(np.frombuffer(held, np.uint8) != np.frombuffer(before, np.uint8))
        (page,) = set(((written - stress.FIRST_PAGE) // 4096).tolist())
        changed.add(page)
    assert len(changed) == pages or pattern == "hot"
    assert changed <= set(range(pages))


def test_a_write_touches_one_page_of_the_kernels() -> None:
    _, work = stress.memory({"set": str(64 * 2**20), "pattern": "few"})
    held = inspect.getclosurevars(work).nonlocals["held"]
    address = ctypes.addressof(ctypes.c_char.from_buffer(held))
    assert (address + stress.FIRST_PAGE) % stress.PAGE == 0


@pytest.mark.parametrize("options", [{"set": "4095", "pattern": "few"}, {"set": "8192", "pattern": "odd"}])
def test_memory_refuses_what_means_nothing(options: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        stress.memory(options)


@pytest.mark.parametrize("sync", ["0", "1"])
def test_disk_work_is_of_the_size_that_it_says(sync: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stress, "VOLUME", str(tmp_path))
    options = {"set": "65536", "block": "4096", "sync": sync}
    assert stress.disk_write(options)[1](5) == 5 * 4096
    assert stress.disk_read(options)[1](5) == 5 * 4096
    assert not list(tmp_path.iterdir()), "its file has no name, and goes with the process"


def test_the_network_work_arrives() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        received = bytearray()

        def swallow() -> None:
            stream, _ = server.accept()
            with stream:
                received.extend(b"".join(iter(lambda: stream.recv(65536), b"")))

        thread = threading.Thread(target=swallow)
        thread.start()
        _, work = stress.network({"to": f"127.0.0.1:{server.getsockname()[1]}"})
        assert work(3) == 3 * 16384
        del work
        thread.join(5)
        assert len(received) == 3 * 16384


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    workers = Workers("stress", str(tmp_path), LIBRARY)
    yield workers
    list(workers.stop())


def answer(steps: Steps) -> Any:
    """The answer at the end, as JSON would have it."""
    last = list(steps)[-1]
    assert last is not None
    return json.loads(json.dumps(last[1]))


def until_settled(workers: Workers) -> list[Any]:
    """What the workers report once none is preparing."""
    end = time.monotonic() + 60
    while any(worker["state"] == "preparing" for worker in answer(workers.report())["workers"]):
        assert time.monotonic() < end
        time.sleep(0.01)
    found: list[Any] = answer(workers.report())["workers"]
    return found


def test_workers_run_and_stop(workers: Workers, tmp_path: Path) -> None:
    assert answer(workers.start(["kind=memory", "set=1000000", "pattern=few", "rate=4096000"])) == {"started": [1]}
    assert answer(workers.start(["kind=cpu", "workers=2"])) == {"started": [2, 3]}
    settled = until_settled(workers)
    assert [worker["state"] for worker in settled] == ["running"] * 3
    assert settled[0]["work"] == "kind=memory set=1000000 pattern=few rate=4096000"
    before, end = settled[0], time.monotonic() + 60
    while (now := answer(workers.report())["workers"][0])["guest_s"] < before["guest_s"] + 1:
        assert time.monotonic() < end
        time.sleep(0.05)
    rate = (now["bytes"] - before["bytes"]) / (now["guest_s"] - before["guest_s"])
    assert 0 < rate < 1.1 * 4096000
    pids = [pid for pid, _ in workers.running.values()]
    assert answer(workers.stop()) == {"stopped": [1, 2, 3]}
    assert answer(workers.report()) == {"workers": []}
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["kind=nothing"], "KeyError"),
        (["kind=memory", "set=x", "pattern=few"], "ValueError"),
        (["kind=network", "to=127.0.0.1:1"], "ConnectionRefusedError"),
    ],
)
def test_a_worker_that_cannot_work_says_why(workers: Workers, words: list[str], reason: str) -> None:
    answer(workers.start(words))
    (worker,) = until_settled(workers)
    assert (worker["state"], worker["reason"].split(":")[0]) == ("failed", reason)


def test_a_worker_that_died_has_failed(workers: Workers) -> None:
    answer(workers.start(["kind=cpu"]))
    until_settled(workers)
    os.kill(workers.running[1][0], 9)
    end = time.monotonic() + 60
    while answer(workers.report())["workers"][0]["state"] != "failed":
        assert time.monotonic() < end
    assert answer(workers.report())["workers"][0]["reason"] == "the process has ended"


def test_a_count_that_is_none_starts_nothing(workers: Workers) -> None:
    last = list(workers.start(["kind=cpu", "workers=many"]))[-1]
    assert last is not None
    assert last[0] == 404
    assert not workers.running


def test_a_status_is_read_back(tmp_path: Path) -> None:
    status = Status(str(tmp_path / "one"))
    status.write("running", 12, 3)
    status.write("failed", reason="no space left")
    read = read_status(str(tmp_path / "one"))
    assert (read["state"], read["bytes"], read["reason"]) == ("failed", 0, "no space left")
    assert read_status(str(tmp_path / "none"))["state"] == "preparing"
