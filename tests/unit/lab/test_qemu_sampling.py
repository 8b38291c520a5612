"""What a process holds in its memory, seen on this one; and how QEMU is asked."""

import mmap
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from migrascope.lab import sampling
from migrascope.lab.qemu.monitor import MonitorError
from migrascope.model.problem import Problem

# so many pages, some 48 MiB, as no other mapping has
PAGES = 12347
# a kernel joins private mappings that touch; around a guest's memory QEMU leaves room
SHARED = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS


def test_pages_that_hold_something_are_counted() -> None:
    with mmap.mmap(-1, PAGES * 4096, flags=SHARED) as memory:
        assert sampling.filled(os.getpid(), PAGES * 4096, PAGES) == 0
        for page in range(0, PAGES, 3):
            memory[page * 4096 + page % 4096] = 7
        assert sampling.filled(os.getpid(), PAGES * 4096, PAGES) == len(range(0, PAGES, 3))
        some = sampling.filled(os.getpid(), PAGES * 4096, 600)
        assert 130 < some < 270


def test_more_pages_than_there_are_are_all() -> None:
    with mmap.mmap(-1, PAGES * 4096, flags=SHARED) as memory:
        memory[0] = 1
        assert sampling.filled(os.getpid(), PAGES * 4096, 10 * PAGES) == 1


def test_memory_that_is_not_found_is_not_guessed() -> None:
    with pytest.raises(Problem, match="0 mappings are of its size"):
        sampling.filled(os.getpid(), PAGES * 4096, 10)


def test_two_mappings_of_the_size_are_not_guessed_either(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    lines = ["00001000-00003000 rw-p 00000000 00:00 0", "00005000-00007000 rw-p 00000000 00:00 0"]
    (tmp_path / "7/maps").write_text("\n".join(lines))
    with pytest.raises(Problem, match="2 mappings are of its size"):
        sampling.filled(7, 0x2000, 10, tmp_path)


def test_memory_is_found_that_was_rounded_up_and_no_code_is_taken_for_it(tmp_path: Path) -> None:
    """QEMU under TCG keeps translated code in a mapping that can be as large."""
    asked = PAGES * 4096 - 300
    with mmap.mmap(-1, PAGES * 4096, flags=SHARED) as memory:
        memory[(PAGES - 1) * 4096] = 1
        assert sampling.filled(os.getpid(), asked, 10 * PAGES) == 1
    (tmp_path / "7").mkdir()
    (tmp_path / "7/maps").write_text("00001000-00003000 rwxp 00000000 00:00 0")
    with pytest.raises(Problem, match="0 mappings are of its size"):
        sampling.filled(7, 0x2000, 10, tmp_path)


def test_a_process_that_is_gone_is_named() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with pytest.raises(Problem, match=rf"/proc/{ended.pid}/maps cannot be read"):
        sampling.filled(ended.pid, 4096, 1)


class FakeMonitor:
    """Answers that it measures until it was asked so often."""

    def __init__(self, after: int, refuses: str = "") -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._after, self._refuses = after, refuses

    async def ask(self, command: str, arguments: dict[str, Any]) -> dict[str, Any]:
        self.asked.append((command, arguments))
        if self._refuses:
            raise MonitorError(self._refuses)
        if command == "calc-dirty-rate":
            return {}
        done = len(self.asked) > self._after
        return {"status": "measured", "dirty-rate": 12} if done else {"status": "measuring"}


async def test_qemu_is_asked_for_milliseconds_and_waited_for() -> None:
    monitor = FakeMonitor(3)
    found = await sampling.dirtied(monitor.ask, 0.125, 16384)
    assert found["dirty-rate"] == 12
    assert monitor.asked[0] == (
        "calc-dirty-rate",
        {"calc-time": 125, "calc-time-unit": "millisecond", "sample-pages": 16384},
    )
    assert [command for command, _ in monitor.asked[1:]] == ["query-dirty-rate"] * 3


async def test_a_qemu_that_refuses_is_heard() -> None:
    with pytest.raises(MonitorError, match="calc-time-unit"):
        await sampling.dirtied(FakeMonitor(0, "Parameter 'calc-time-unit' is unexpected").ask, 1.0, 512)
