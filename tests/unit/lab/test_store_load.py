"""Load on a store and a recovery of Ceph: the programs, how they are steered, and what is left when they are not."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from migrascope.lab.injectors import store_writer
from migrascope.lab.injectors.store_load import StoreLoad, reached
from migrascope.lab.injectors.store_writer import BLOCK, Load
from migrascope.lab.testbed.injectors import recovery
from migrascope.lab.testbed.injectors.recovery import Recovery, recovered
from migrascope.model.kinds.storage_load import BLOCK_BYTES
from migrascope.model.problem import Problem
from migrascope.node.container import Container
from migrascope.node.namespace import Namespace
from migrascope.node.wait import wait_until

MIB = 2**20


def writer(folder: Path, size: int = MIB, rate: float = 1e6) -> list[str]:
    return [sys.executable, "-I", "-S", store_writer.__file__, "file", str(folder), str(size), str(rate)]


def test_a_plan_and_the_writer_speak_of_the_same_blocks() -> None:
    assert BLOCK == BLOCK_BYTES


def test_blocks_are_whole_and_within_what_was_laid_out() -> None:
    written: list[tuple[int, int]] = []
    load = Load(lambda data, offset: written.append((len(data), offset)), 3 * BLOCK + 1, 1e9)
    for _ in range(200):
        load.step()
    assert {size for size, _ in written} == {BLOCK}
    assert {offset for _, offset in written} == {0, BLOCK, 2 * BLOCK}
    assert load.done()["bytes"] == 200 * BLOCK


def test_blocks_are_due_at_the_rate_and_what_a_slow_store_missed_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now, takes = [100.0], [0.001]

    def write(_data: bytes, _offset: int) -> None:
        now[0] += takes[0]

    monkeypatch.setattr("time.monotonic", lambda: now[0])
    load = Load(write, MIB, 10 * BLOCK)
    assert load.wait_s() == 0.0
    load.step()
    assert load.wait_s() == pytest.approx(0.099)
    now[0] += 0.099
    load.step()
    assert load.wait_s() == pytest.approx(0.099)
    takes[0] = 5.0
    load.step()
    takes[0] = 0.0
    due = 0
    while load.wait_s() == 0.0:
        load.step()
        due += 1
    assert due == 2
    assert load.done() == {"bytes": (3 + due) * BLOCK, "seconds": pytest.approx(5.101), "slowest_s": pytest.approx(5.0)}


async def test_the_rate_that_was_reached_is_in_the_note(tmp_path: Path) -> None:
    load = StoreLoad(writer(tmp_path, rate=4e6), 4e6, tmp_path / "log")
    await load.arm()
    began = time.monotonic()
    assert await load.apply() == ""
    await asyncio.sleep(0.5)
    note = await load.heal()
    took = time.monotonic() - began
    assert note is not None
    assert " of 4.00 MB/s, slowest " in note
    assert note.startswith("wrote ")
    megabytes = float(note.split()[1]) * (1e-3 if note.split()[2] == "kB" else 1)
    assert BLOCK / 1e6 <= megabytes <= 4 * took + BLOCK / 1e6
    assert await load.heal() is None
    assert list(tmp_path.iterdir()) == [tmp_path / "log"]
    assert (tmp_path / "log").read_text() == ""


async def test_load_that_never_began_has_no_note(tmp_path: Path) -> None:
    load = StoreLoad(writer(tmp_path), 1e6, tmp_path / "log")
    assert await load.heal() is None
    await load.arm()
    assert await load.heal() is None
    assert reached({"bytes": 0, "seconds": 0.0, "slowest_s": 0.0}, 1e6) is None


async def test_a_store_that_cannot_be_written_to_is_a_problem_in_words(tmp_path: Path) -> None:
    load = StoreLoad(writer(tmp_path / "none"), 1e6, tmp_path / "log")
    with pytest.raises(Problem, match="storage-load ended: FileNotFoundError"):
        await load.arm()
    with pytest.raises(Problem, match="storage-load failed: FileNotFoundError"):
        await load.heal()
    assert await load.heal() is None


def test_nothing_is_left_of_a_writer_that_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(writer(tmp_path), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        held = os.stat(next(path for path in Path(f"/proc/{child.pid}/fd").iterdir() if str(tmp_path) in _target(path)))
        assert (held.st_size, held.st_nlink) == (MIB, 0)
        child.send_signal(signal.SIGKILL)
    assert list(tmp_path.iterdir()) == []


def _target(path: Path) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


# A recovery of Ceph


class Ceph:
    """A cluster in a file, and the node of its second OSD."""

    def __init__(self, file: Path) -> None:
        self.file, self.told = file, list[str]()
        self.keep()

    def keep(self, **changes: Any) -> None:
        known = self.now() if self.file.exists() else {}
        part = self.file.with_suffix(".new")
        part.write_text(json.dumps(known | changes), encoding="utf-8")
        part.rename(self.file)

    def now(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.file.read_text(encoding="utf-8"))
        return found

    async def run(self, argv: list[str], **_: Any) -> str:
        words = " ".join(argv)
        if "list-units" in words:
            return "ceph-osd@1.service loaded active running Ceph object storage daemon osd.1\n"
        self.told.append("start" if "reset-failed" in words else argv[1])
        self.keep(down=self.told[-1] == "stop")
        return ""


@pytest.fixture
def ceph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ceph:
    file = tmp_path / "ceph.json"
    monkeypatch.setenv("FAKE_CEPH", str(file))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "fakeceph"))

    def here(_node: Namespace, script: Path, *words: str) -> tuple[str, ...]:
        return (sys.executable, "-c", script.read_text(encoding="utf-8"), *words)

    monkeypatch.setattr(recovery, "on_node", here)
    return Ceph(file)


def behind(ceph: Ceph, tmp_path: Path, objects: int = 3) -> Recovery:
    node = cast(Container, SimpleNamespace(name="compute", run=ceph.run))
    return Recovery(node, cast(Namespace, None), objects * 4 * MIB, tmp_path / "log")


async def come(condition: Callable[[], bool]) -> None:
    await wait_until(lambda: asyncio.sleep(0, condition()), 10, "it comes")


async def test_a_recovery_runs_when_it_is_let_go_and_says_how_far_it_came(ceph: Ceph, tmp_path: Path) -> None:
    item = behind(ceph, tmp_path)
    await item.arm()
    armed = ceph.now()
    assert armed["flags"] == ["nobackfill", "norecover"]
    assert (armed["behind"], ceph.told) == ([f"behind-{number}" for number in range(3)], ["stop", "start"])
    assert await item.apply() == "compute lacked 3 objects"
    assert ceph.now()["recovered"] > 0
    await come(lambda: ceph.now()["behind"] == [])
    note = await item.heal()
    assert note is not None
    assert note.startswith("12.6 MB recovered in ")
    assert note.endswith(": all of it")
    assert (ceph.now()["flags"], ceph.now()["objects"]) == ([], {})
    assert await item.heal() is None


async def test_one_that_is_not_let_go_is_taken_back(ceph: Ceph, tmp_path: Path) -> None:
    item = behind(ceph, tmp_path)
    await item.arm()
    assert await item.heal() is None
    now = ceph.now()
    assert (now["flags"], now["objects"], now["behind"], now["recovered"]) == ([], {}, [], 0)
    assert not now["down"]


async def test_one_that_cannot_be_prepared_is_taken_back(
    ceph: Ceph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = behind(ceph, tmp_path)
    monkeypatch.setattr(recovery, "_UP_S", 0.2)

    async def start(*_: Any) -> None:
        """It does not come up."""

    with monkeypatch.context() as patch:
        patch.setattr(recovery, "start", start)
        with pytest.raises(Problem, match=r"ceph-recovery did not answer in 0.2 s"):
            await item.arm()
    assert ceph.now()["down"]
    assert await item.heal() is None
    assert not ceph.now()["down"]
    assert (ceph.now()["flags"], ceph.now()["objects"]) == ([], {})


async def test_a_ceph_that_does_not_answer_is_a_problem_in_words(ceph: Ceph, tmp_path: Path) -> None:
    ceph.keep(silent=True)
    item = behind(ceph, tmp_path)
    with pytest.raises(Problem, match="ceph-recovery ended: Error: timed out"):
        await item.arm()
    with pytest.raises(Problem, match="ceph-recovery failed: Error: timed out"):
        await item.heal()
    assert ceph.told == []


def test_how_far_a_recovery_came_in_words() -> None:
    found = {"behind": 64, "objects": 20, "bytes": 8e7, "seconds": 2.0, "done": False}
    assert recovered(found) == "80.0 MB recovered in 2.00 s: 20 of 64 objects when it was taken back"
    assert recovered(found | {"done": True}) == "80.0 MB recovered in 2.00 s: all of it"


async def test_what_a_killed_run_left_is_taken_back_and_said(ceph: Ceph) -> None:
    async def run(argv: list[str], stdin: str, timeout_s: float) -> str:
        return await asyncio.to_thread(subprocess.check_output, [sys.executable, *argv[1:]], input=stdin, text=True)

    monitor = cast(Container, SimpleNamespace(run=run))
    assert await recovery.whole(monitor, 60) == []
    ceph.keep(flags=["norecover", "noscrub"], objects={"behind-0": 5, "load-0": 6})
    said = [line for line in await recovery.whole(monitor, 60) if not line.startswith("wait ")]
    assert said == ["unset norecover of Ceph", "remove 2 objects of load from Ceph"]
    assert (ceph.now()["flags"], ceph.now()["objects"]) == (["noscrub"], {})


def whole(limit_s: float) -> "subprocess.Popen[str]":
    script = recovery.SCRIPT.read_text(encoding="utf-8")
    argv = [sys.executable, "-c", script, "whole", recovery.NAMESPACE, str(limit_s)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("ill", [{"down": True}, {"behind": ["behind-0"]}, {"silent": True}])
async def test_all_copies_are_waited_for(ceph: Ceph, ill: dict[str, Any]) -> None:
    ceph.keep(**ill)
    with whole(0.2) as child:
        assert child.communicate()[1].startswith("RuntimeError: Ceph does not have all copies after 0.2 s: ")
        assert child.returncode == 1
    asked = ceph.file.with_suffix(".asked")
    asked.unlink()
    with whole(60) as child:
        await come(asked.exists)
        ceph.keep(down=False, behind=[], silent=False)
        said = child.communicate()[0]
    assert (said.split()[0], said.endswith("s until Ceph has all copies\n")) == ("wait", True)
