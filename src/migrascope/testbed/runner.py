"""Does tasks: each as soon as what it needs is done, many at once; what is done is written down and not done again."""

import asyncio
import contextlib
import graphlib
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

from pydantic import TypeAdapter

from migrascope.model.problem import Problem
from migrascope.node.process import ProcessError
from migrascope.store.atomic import write_json
from migrascope.store.document import read_object
from migrascope.testbed.task import Action, Await, Command, File, Task, Units

_START_S = 180.0
_LINES = 12
Progress = Callable[[str], None]


class Node(Protocol):
    """What a task asks of a node: node.container.Container has it."""

    async def run(self, argv: Sequence[str], *, stdin: str | bytes = b"", timeout_s: float = 60.0) -> str: ...

    async def write(self, files: Sequence[File]) -> None: ...


class TaskFailed(Problem):
    """A task that could not be done; the message holds the last lines of its services' journal and where to look."""


def digest(task: Task) -> str:
    """What the task does, whatever it needs, in 16 hexadecimal digits."""
    what = asdict(replace(task, needs=()))
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class _Known:
    tasks: dict[str, str]
    unfinished: list[str]
    whole: bool


_KNOWN: TypeAdapter[_Known] = TypeAdapter(_Known)


class Done:
    """What has been done on a testbed's state, in a file of its folder.

    tasks: the digests of those that are done. unfinished: those whose programs were being run; if they were cut short,
    nobody knows what they left. whole: whether all tasks have been done at least once.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.tasks: dict[str, str] = {}
        self.unfinished: list[str] = []
        self.whole = False
        with contextlib.suppress(FileNotFoundError):
            try:
                known = _KNOWN.validate_python(read_object(file))
            except ValueError as error:
                next_ = f"rm {file}, and the nodes are made anew"
                raise Problem(f"{file} is damaged: what has been done is not known\n  next: {next_}") from error
            self.tasks, self.unfinished, self.whole = known.tasks, known.unfinished, known.whole

    def __contains__(self, task: Task) -> bool:
        return self.tasks.get(task.name) == digest(task)

    @property
    def usable(self) -> bool:
        """Whether `up` can go on from this state. What has once been whole is kept, whatever happened to it."""
        return self.whole or (bool(self.tasks) and not self.unfinished)

    def begin(self, task: Task) -> None:
        """Its programs are about to be run."""
        self.unfinished.append(task.name)
        self._write()

    def over(self, task: Task) -> None:
        """Its programs have come to their end."""
        self.unfinished.remove(task.name)
        self._write()

    def add(self, task: Task) -> None:
        self.tasks[task.name] = digest(task)
        self._write()

    def complete(self) -> None:
        """All tasks are done."""
        self.whole, self.unfinished = True, []
        self._write()

    def _write(self) -> None:
        write_json(self._file, {"whole": self.whole, "unfinished": self.unfinished, "tasks": self.tasks})


async def run_tasks(
    tasks: Sequence[Task], nodes: Mapping[str, Node], progress: Progress, done: Done
) -> dict[str, float]:
    """Does all tasks and gives the seconds that each took. TaskFailed at the first failure, when all others are ended.

    ValueError for tasks whose names are not unique, that need what there is not, or need one another in a circle.
    """
    by_name = {task.name: task for task in tasks}
    unknown = {need for task in tasks for need in task.needs} - set(by_name)
    if unknown or len(by_name) < len(tasks):
        raise ValueError(f"unknown tasks are needed: {sorted(unknown)}" if unknown else "two tasks have one name")
    order = graphlib.TopologicalSorter({task.name: task.needs for task in tasks})
    order.prepare()
    began = time.monotonic()
    seconds: dict[str, float] = {}
    # Some tasks write the same file: tar refuses one that another makes at that moment.
    writing = {name: asyncio.Lock() for name in nodes}

    async def do(task: Task) -> str:
        start = time.monotonic()
        try:
            await _do(task, nodes[task.node], done, writing[task.node])
        except TaskFailed as failed:
            ended = await _ended([each for each in tasks if each.name in seconds], nodes)
            raise TaskFailed("\n".join([*ended, str(failed)])) from failed
        done.add(task)
        seconds[task.name] = time.monotonic() - start
        progress(f"{time.monotonic() - began:6.1f} s  {task.node}: {task.name} ({seconds[task.name]:.1f} s)")
        return task.name

    running: set[asyncio.Task[str]] = set()
    try:
        while order.is_active():
            running |= {asyncio.create_task(do(by_name[name])) for name in order.get_ready()}
            ended, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for each in ended:
                order.done(each.result())
    finally:
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    return seconds


async def _do(task: Task, node: Node, done: Done, writing: asyncio.Lock) -> None:
    files: list[File] = []
    reload = False
    wanted = (Units, Await) if task in done else (File, Command, Units, Await)
    actions = [action for action in task.actions if isinstance(action, wanted)]
    programs = [number for number, action in enumerate(actions) if isinstance(action, Command)]
    for number, action in enumerate(actions):
        if programs and number == programs[0]:
            done.begin(task)
        try:
            if isinstance(action, File):
                files.append(action)
                reload = reload or action.path.startswith("/etc/systemd/")
                continue
            if files:
                async with writing:
                    await node.write(files)
                files = []
            await _act(action, node, reload=reload)
            reload = reload and not isinstance(action, Units)
            if programs and number == programs[-1]:
                done.over(task)
        except Problem as error:
            raise TaskFailed(await _words(task, action, node, error)) from error
    if files:
        async with writing:
            await node.write(files)


async def _act(action: Action, node: Node, *, reload: bool) -> None:
    match action:
        case Command(argv, stdin, timeout_s):
            await node.run(argv, stdin=stdin, timeout_s=timeout_s)
        case Await():
            await _await(action, node)
        case Units(start, stop, mask):
            if mask:
                await node.run(["systemctl", "mask", *mask])
            elif reload:
                await node.run(["systemctl", "daemon-reload"])
            if stop:
                await node.run(["systemctl", "stop", *stop], timeout_s=_START_S)
            if start:
                await node.run(["systemctl", "start", *start], timeout_s=_START_S)


async def _await(action: Await, node: Node) -> None:
    deadline = time.monotonic() + action.timeout_s
    while True:
        try:
            await node.run(action.argv, timeout_s=max(1.0, deadline - time.monotonic()))
        except ProcessError as error:
            if time.monotonic() > deadline:
                raise Problem(f"not in {action.timeout_s:g} s: {action.what}: {error}") from error
        else:
            return
        await asyncio.sleep(action.every_s)


async def _words(task: Task, action: Action, node: Node, error: Problem) -> str:
    """What failed, the last lines of its services' journal, and the command to look further."""
    own = action.start if isinstance(action, Units) else _started(task)
    units = (await _troubled(node, own) if own else ()) or own
    lines = [f"{task.name} on {task.node} failed: {error}"]
    try:
        chosen = [part for unit in units for part in ("--unit", unit)] or ["--priority=warning"]
        last = await node.run(["journalctl", "--quiet", "--no-hostname", "-n", str(_LINES), *chosen], timeout_s=20)
    except Problem:
        last = ""
    if last.strip():
        lines.append(f"the journal of {', '.join(units) or task.node}:\n{last.rstrip()}")
    service = f" {units[0]}" if units else ""
    return "\n".join([*lines, f"  next: migrascope testbed logs {task.node}{service}"])


async def _ended(tasks: Sequence[Task], nodes: Mapping[str, Node]) -> list[str]:
    """A line for each unit of tasks that are done which has ended since, and so may be why another failed."""
    lines = []
    for name, node in nodes.items():
        own = [unit for task in tasks if task.node == name for unit in _started(task)]
        for unit in await _troubled(node, own) if own else ():
            lines.append(f"{unit} on {name} is not active any more: migrascope testbed logs {name} {unit}")
    return lines


def _started(task: Task) -> tuple[str, ...]:
    return tuple(unit for action in task.actions if isinstance(action, Units) for unit in action.start)


async def _troubled(node: Node, units: Sequence[str]) -> tuple[str, ...]:
    """Those of the units that are not active."""
    try:
        said = await node.run(["sh", "-c", 'systemctl is-active "$@" || true', "sh", *units], timeout_s=20)
    except Problem:
        return ()
    states = said.split()
    return tuple(unit for unit, state in zip(units, states, strict=False) if state != "active")
