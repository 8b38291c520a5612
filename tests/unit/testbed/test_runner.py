"""Tasks: done in the order of their needs, many at once, not done twice, and a failure that says where to look."""

import asyncio
import itertools
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from migrascope.node.process import ProcessError
from migrascope.node.wait import wait_until
from migrascope.testbed.runner import Done, TaskFailed, run_tasks
from migrascope.testbed.task import Await, Command, File, Task, Units


class Node:
    """Notes what it is asked for; programs named "fail..." fail, "late" fails twice, "slow" takes its time."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.tries = 0

    async def run(self, argv: Sequence[str], *, stdin: str | bytes = b"", timeout_s: float = 60.0) -> str:
        self.asked.append(" ".join(argv))
        if argv[0] == "slow":
            await asyncio.sleep(60)
        self.tries += argv[0] == "late"
        refused = argv[:2] == ["systemctl", "start"] and "broken" in argv
        if argv[0].startswith("fail") or (argv[0] == "late" and self.tries < 3) or refused:
            raise ProcessError(f"{argv[0]} failed with 1")
        if argv[0] == "journalctl":
            return "the last words of the service\n"
        return "active\nactivating\n" if "is-active" in str(argv) else ""

    async def write(self, files: Sequence[File]) -> None:
        self.asked.append("write " + " ".join(file.path for file in files))


def task(name: str, *actions: File | Command | Units | Await, needs: tuple[str, ...] = ()) -> Task:
    return Task(name, "controller", needs, actions)


def nothing(text: str) -> None:
    """A progress that nobody reads."""


async def test_a_task_waits_for_what_it_needs(tmp_path: Path) -> None:
    node, said = Node(), list[str]()
    tasks = [task("b", Command(("b",)), needs=("a",)), task("a", Command(("a",)))]
    await run_tasks(tasks, {"controller": node}, said.append, Done(tmp_path / "done"))
    assert node.asked == ["a", "b"]
    assert ["a" in said[0], "b" in said[1]] == [True, True]


async def test_files_come_before_what_reads_them_and_units_are_read_again(tmp_path: Path) -> None:
    node = Node()
    actions = (File("/etc/systemd/system/x.service", ""), File("/etc/x", ""), Units(start=("x",)), Command(("y",)))
    await run_tasks([task("x", *actions)], {"controller": node}, nothing, Done(tmp_path / "done"))
    assert node.asked == ["write /etc/systemd/system/x.service /etc/x", "systemctl daemon-reload", "systemctl start x",
                          "y"]  # fmt: skip


async def test_what_is_done_is_not_done_again_but_its_units_are_started(tmp_path: Path) -> None:
    tasks = [task("x", File("/etc/x", "1"), Command(("init",)), Units(start=("x",)), Await(("ask",), 1, "answers"))]
    await run_tasks(tasks, {"controller": Node()}, nothing, Done(tmp_path / "done"))
    again = Node()
    await run_tasks(tasks, {"controller": again}, nothing, Done(tmp_path / "done"))
    assert again.asked == ["systemctl start x", "ask"]
    changed = [task("x", File("/etc/x", "2"), *tasks[0].actions[1:])]
    await run_tasks(changed, {"controller": again}, nothing, Done(tmp_path / "done"))
    assert "init" in again.asked


@pytest.mark.parametrize(
    ("actions", "usable"),
    [
        ((Command(("init",)), Await(("fail",), 0.01, "it comes", every_s=0.001)), True),
        ((Units(start=("broken",)),), True),
        ((Command(("fail",)), Units(start=("x",))), False),
    ],
)
async def test_a_program_that_was_cut_short_makes_a_new_state_unusable(
    tmp_path: Path, actions: tuple[Command | Units | Await, ...], usable: bool
) -> None:
    done = Done(tmp_path / "done")
    await run_tasks([task("first", Command(("a",)))], {"controller": Node()}, nothing, done)
    with pytest.raises(TaskFailed):
        await run_tasks([task("x", *actions)], {"controller": Node()}, nothing, done)
    assert Done(tmp_path / "done").usable == usable
    done.complete()
    assert Done(tmp_path / "done").usable


async def test_an_await_goes_on_until_its_program_succeeds(tmp_path: Path) -> None:
    node = Node()
    tasks = [task("x", Await(("late",), 5, "it comes", every_s=0.001))]
    await run_tasks(tasks, {"controller": node}, nothing, Done(tmp_path / "done"))
    assert node.tries == 3
    tasks = [task("y", Await(("fail",), 0.01, "it comes", every_s=0.001))]
    with pytest.raises(TaskFailed, match="it comes"):
        await run_tasks(tasks, {"controller": node}, nothing, Done(tmp_path / "done"))


async def test_a_step_of_the_clock_ends_no_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wall = itertools.count(1e9, 86400.0)
    monkeypatch.setattr(time, "time", lambda: next(wall))
    node, done = Node(), Done(tmp_path / "done")
    await run_tasks([task("x", Await(("late",), 5, "it comes", every_s=0.001))], {"controller": node}, nothing, done)
    turns = iter([False, False, True])

    async def third() -> bool:
        return next(turns)

    await wait_until(third, 5, "the third time", 0.001)


async def test_a_failure_ends_the_others_and_shows_the_journal_and_the_next_command(tmp_path: Path) -> None:
    node, done = Node(), Done(tmp_path / "done")
    tasks = [task("good", Command(("slow",))), task("bad", Units(start=("fine", "broken")))]
    with pytest.raises(TaskFailed) as failed:
        await asyncio.wait_for(run_tasks(tasks, {"controller": node}, nothing, done), 5)
    words = str(failed.value)
    assert "bad on controller failed" in words
    assert "the last words of the service" in words
    assert words.endswith("migrascope testbed logs controller broken")
    assert not any(each in done for each in tasks)


async def test_a_failure_names_what_ended_before(tmp_path: Path) -> None:
    tasks = [task("first", Units(start=("fine", "gone"))), task("second", Command(("fail",)), needs=("first",))]
    with pytest.raises(TaskFailed) as failed:
        await run_tasks(tasks, {"controller": Node()}, nothing, Done(tmp_path / "done"))
    ended, reason = str(failed.value).splitlines()[:2]
    assert ended == "gone on controller is not active any more: migrascope testbed logs controller gone"
    assert reason.startswith("second on controller failed")


@pytest.mark.parametrize(
    "tasks",
    [[task("a", needs=("nothing",))], [task("a"), task("a")], [task("a", needs=("b",)), task("b", needs=("a",))]],
)
async def test_tasks_that_cannot_be_ordered_are_a_mistake(tmp_path: Path, tasks: list[Task]) -> None:
    with pytest.raises(ValueError):
        await run_tasks(tasks, {"controller": Node()}, nothing, Done(tmp_path / "done"))


class Writing(Node):
    """Refuses a file that another makes at that moment, as tar does."""

    making = False

    async def write(self, files: Sequence[File]) -> None:
        if self.making:
            raise ProcessError("Cannot open: File exists")
        self.making = True
        await asyncio.sleep(0.01)
        self.making = False


async def test_files_of_a_node_are_written_by_one_task_at_a_time(tmp_path: Path) -> None:
    tasks = [task(name, File("/etc/nova/nova.conf", ""), Command(("sync",))) for name in "abc"]
    took = await run_tasks(tasks, {"controller": Writing()}, nothing, Done(tmp_path / "done"))
    assert set(took) == {"a", "b", "c"}
