"""A testbed's life: up, down, purged; its nodes and links one by one. Whoever calls it needs root."""

import asyncio
import contextlib
import hashlib
import json
import os
import time
import uuid
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from migrascope.model.name import OURS, named
from migrascope.model.problem import Problem, UsageProblem
from migrascope.model.units import rate_text
from migrascope.node.container import Container
from migrascope.node.image import IMAGES
from migrascope.node.lock import free
from migrascope.node.paths import TESTBEDS
from migrascope.node.register import Register, registers, start_time
from migrascope.node.takedown import Cleaned, remove, take_down
from migrascope.store.atomic import write_json
from migrascope.store.document import read_json, read_object
from migrascope.store.removal import remove_tree
from migrascope.testbed import relay, snapshot
from migrascope.testbed.roles.cloud import GUEST
from migrascope.testbed.runner import Done, Progress, digest, run_tasks
from migrascope.testbed.secrets import Secrets
from migrascope.testbed.settings import CONTROLLER, NODES, Migration, Settings, address
from migrascope.testbed.task import File, Task
from migrascope.testbed.topology import FASTEST_BPS, SLOWEST_BPS, Topology

_IMAGES: TypeAdapter[dict[str, Path]] = TypeAdapter(dict[str, Path])
_PROCESS: TypeAdapter[tuple[int, int]] = TypeAdapter(tuple[int, int])
Tasks = Callable[[Settings, Secrets], Sequence[Task]]


@dataclass(frozen=True)
class Images:
    """Folders of the cache: the nodes' root, and the kernel, initrd and disk of the website's guest."""

    node: Path
    guest: Path


class Testbed:
    """One testbed by its name, up or not. UsageProblem for a name that cannot be one."""

    def __init__(self, name: str, testbeds: Path = TESTBEDS) -> None:
        self.name = named("testbed", name)
        self.register = Register(testbeds / Settings(name=name).id)
        self.folder = self.register.folder
        self.topology = Topology(self.register, self._joined())

    def _joined(self) -> Mapping[str, tuple[str, ...]]:
        """The nodes and hosts on each link. One whose settings cannot be read is only purged."""
        with contextlib.suppress(Problem):
            return (self.settings if self.made else Settings()).joined
        return Settings().joined

    @property
    def there(self) -> bool:
        """Whether anything of it is there, however little an interrupted `up` or purge has left."""
        return os.path.lexists(self.folder)

    def unknown(self) -> UsageProblem:
        """That there is no such testbed, and which there are."""
        names = ", ".join(register.id.removeprefix("ms-") for register in registers(self.folder.parent))
        return UsageProblem(
            f"there is no testbed {self.name}; there {f'are: {names}' if names else 'is none'}\n"
            f"  next: migrascope testbed up --name {self.name}"
        )

    @property
    def made(self) -> bool:
        """Whether it has any state: an `up` has begun, and no purge removed it."""
        return (self.folder / "settings.json").exists()

    @property
    def settings(self) -> Settings:
        """UsageProblem when there is no such testbed."""
        try:
            found = Settings.from_json(read_object(self.folder / "settings.json"))
            if found.name != self.name:
                raise ValueError(f"name: they are of the testbed {found.name}")
        except FileNotFoundError:
            raise self.unknown() from None
        except ValueError as error:
            raise self._damaged("settings.json", error) from error
        return found

    @property
    def nodes(self) -> dict[str, Container]:
        """Its nodes by name. UsageProblem when there is no such testbed."""
        _ = self.settings
        try:
            images = _IMAGES.validate_python(read_object(self.folder / "images.json"))
            image, guest = images["node"], images["guest"]
        except (FileNotFoundError, ValueError, KeyError) as error:
            raise self._damaged("images.json", error) from error
        for path in (image, guest):
            if path.parent != IMAGES or not OURS.fits(path.name):
                raise Problem(f"{self.folder / 'images.json'}: {path} is no image in {IMAGES}")
            if not path.exists():
                raise Problem(f"{path}, of which the testbed {self.name} is made, is gone\n  next: {_purge(self.name)}")
        spaces = self.topology.namespaces
        return {
            node: Container(
                node,
                f"{self.register.id}-{node}",
                spaces[node],
                image,
                self.folder / node,
                ((guest, GUEST),) if node == CONTROLLER else (),
            )
            for node in NODES
        }

    def _damaged(self, name: str, error: Exception) -> Problem:
        return Problem(f"{self.folder / name} is damaged: {_first_line(error)}\n  next: {_purge(self.name)}")

    def node(self, name: str) -> Container:
        """UsageProblem when it has no node of that name."""
        if name not in NODES:
            raise UsageProblem(f"there is no node {name}: {', '.join(NODES)}")
        return self.nodes[name]

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Keeps other commands from changing it meanwhile. Problem when one does already."""
        locks = self.folder.parent.with_name("locks")
        locks.mkdir(mode=0o700, parents=True, exist_ok=True)
        with free(locks / f"{self.folder.name}.lock") as holder:
            if holder is not None:
                raise Problem(f"another command, {holder}, is changing the testbed {self.name}: wait until it is done")
            yield

    async def up(self, settings: Settings, images: Images, tasks: Tasks, say: Progress) -> None:
        """Brings it up from nothing, from what an earlier `up` left, or does nothing; Problem says why it cannot."""
        with self.changing():
            if self.made and self.settings != settings:
                raise UsageProblem(f"the testbed {self.name} was made with other settings\n  next: {_purge(self.name)}")
            self.register = Register.lasting(self.register.id, self.folder.parent)
            self.register.claim()
            if not self.made:
                write_json(self.folder / "images.json", {"node": str(images.node), "guest": str(images.guest)})
                write_json(self.folder / "settings.json", settings.to_json())
                self.topology = Topology(self.register, settings.joined)
            controller = self.nodes[CONTROLLER]
            self.register.uses(controller.image, *(path for path, _ in controller.shares))
            began = time.monotonic()
            floating = "-distributed" if settings.distributed else ""
            wired = f"{settings.network}-{settings.tenant}{floating}-{settings.activation}"
            key = f"testbed-{wired}-{_state_key(settings, images, tasks)}"
            fresh, restored = not Done(self.done).usable, False
            if fresh:
                restored = await self._begin(key, say)
                say(f"{time.monotonic() - began:6.1f} s  starts from {'a snapshot' if restored else 'the image'}")
            self.topology.create()
            await self._boot()
            say(f"{time.monotonic() - began:6.1f} s  {len(NODES)} nodes run")
            self._relay(settings)
            done = Done(self.done)
            await run_tasks(self.tasks(tasks), self.nodes, say, done)
            done.complete()
            if fresh and not restored:
                before = time.monotonic()
                await snapshot.save(self.folder, self.nodes, key, say)
                say(f"{time.monotonic() - began:6.1f} s  snapshot kept ({time.monotonic() - before:.1f} s)")
                # Frozen for the copy, services have missed their heartbeats: what was waited for is waited for again.
                await run_tasks(self.tasks(tasks), self.nodes, lambda _: None, done)
                say(f"{time.monotonic() - began:6.1f} s  all of it goes on")

    @property
    def done(self) -> Path:
        """The file of what has been done; it is not there as long as that is nothing."""
        return self.folder / "done.json"

    def tasks(self, tasks: Tasks) -> list[Task]:
        """All that brings it up, with its own secrets."""
        return list(tasks(self.settings, Secrets.of(self.folder / "secret")))

    async def _begin(self, key: str, say: Progress) -> bool:
        """Gives the nodes their first state, in place of what an interrupted `up` began; whether from a snapshot."""
        for node in self.nodes.values():
            await node.kill()
            await asyncio.to_thread(remove_tree, node.folder, self.folder)
        self.done.unlink(missing_ok=True)
        return await snapshot.restore(self.folder, self.nodes, key, say)

    async def _boot(self) -> None:
        for name, node in self.nodes.items():
            if (path := node.cgroup()) is not None:
                self.register.cgroup(path)
            if node.pid() is None:
                _lay(name, node)
        await _all(node.boot() for node in self.nodes.values())

    def _relay(self, settings: Settings) -> None:
        file = self.folder / "relay.json"
        with contextlib.suppress(FileNotFoundError, ValueError):
            pid, start = _PROCESS.validate_python(read_json(file))
            if start_time(pid) == start:
                return
        space = self.topology.namespaces[CONTROLLER]
        pid = relay.start(settings.loopback, address(CONTROLLER, "management"), space, self.folder / "relay.log")
        write_json(file, [pid, start_time(pid)])

    async def down(self) -> Cleaned:
        """Powers the nodes off and removes what they ran in; what they have written stays. UsageProblem when there is
        no such testbed."""
        with self.changing():
            if not self.there:
                raise self.unknown()
            if self.made:
                await _all(node.stop() for node in self.nodes.values())
            cleaned = Cleaned()
            take_down(self.register, cleaned)
            return cleaned

    def purge(self) -> Cleaned:
        """Removes all of it, whatever state it is in; what stays is said."""
        with self.changing():
            cleaned = Cleaned()
            if self.there:
                remove(self.register, cleaned)
            return cleaned

    async def stop_node(self, name: str, *, kill: bool = False) -> None:
        """Powers one node off, or lets it fail as by a power cut."""
        with self.changing():
            node = self.node(name)
            await (node.kill() if kill else node.stop())

    async def start_node(self, name: str, tasks: Tasks, say: Progress) -> None:
        """Boots one node again and starts its services. Problem when the testbed is down."""
        with self.changing():
            node = self.node(name)
            self._need_up()
            await node.boot()
            own = [task for task in self.tasks(tasks) if task.node == name]
            names = {task.name for task in own}
            own = [replace(task, needs=tuple(need for need in task.needs if need in names)) for task in own]
            await run_tasks(own, {name: node}, say, Done(self.done))

    async def change(self, settings: Settings, tasks: Tasks, units: Sequence[str]) -> None:
        """Gives a testbed that is up other settings: writes the files that differ, and restarts these units where
        there are any. Nothing else is done again at the next `up`."""
        with self.changing():
            self._need_up()
            old, new = self.tasks(tasks), list(tasks(settings, Secrets.of(self.folder / "secret")))
            known = {(task.node, action) for task in old for action in task.actions if isinstance(action, File)}

            async def apply(name: str, node: Container) -> None:
                files = [file for task in new if task.node == name for file in task.actions if isinstance(file, File)]
                if differing := [file for file in files if (name, file) not in known]:
                    await node.write(differing)
                    await node.run(["systemctl", "restart", *units], timeout_s=120)

            await _all(apply(name, node) for name, node in self.nodes.items())
            done = Done(self.done)
            finished = {task.name for task in old if task in done}
            for task in new:
                if task.name in finished:
                    done.add(task)
            write_json(self.folder / "settings.json", settings.to_json())

    def _need_up(self) -> None:
        _ = self.settings
        if not self.topology.whole():
            raise Problem(f"the testbed {self.name} is down\n  next: migrascope testbed up --name {self.name}")

    def cuts(self) -> list[str]:
        """ "NODE NETWORK" of each port that is cut; nothing when it is down."""
        if not self.topology.whole():
            return []
        links = self.topology.links.items()
        return [f"{node} {name}" for name, link in links for node in link.ports if link.is_cut(node)]

    def cut(self, node: str, link: str, *, cut: bool) -> None:
        """Cuts a node off a link in both directions, or joins it again. UsageProblem for one that is not there."""
        links = self.topology.links
        if link not in links or node not in links[link].ports:
            raise UsageProblem(f"{node} has no link {link}: " + _joined(self.topology, node))
        self._need_up()
        (links[link].cut if cut else links[link].heal)(node)

    def rates(self) -> dict[str, float]:
        """What each node may send, in bit/s, on each link that has a limit; nothing when it is down."""
        return self.topology.rates() if self.topology.whole() else {}

    def rate(self, link: str, rate_bps: float | None) -> None:
        """Limits what each node may send on a link, or lifts the limit. UsageProblem for what cannot be."""
        if link not in self.topology.links:
            raise UsageProblem(f"there is no link {link}: {', '.join(self.topology.links)}")
        if rate_bps is not None and not SLOWEST_BPS <= rate_bps <= FASTEST_BPS:
            raise UsageProblem(f"a rate is between {rate_text(SLOWEST_BPS)} and {rate_text(FASTEST_BPS)}, or none")
        with self.changing():
            self._need_up()
            self.topology.set_rate(link, rate_bps)


def _state_key(settings: Settings, images: Images, tasks: Tasks) -> str:
    """What the first state of a testbed depends on: images, settings and tasks, but not its name and secrets, nor
    settings of migrations, whose task is done again where they differ."""
    settings = replace(settings, name="", migration=Migration())
    digests = [digest(task) for task in tasks(settings, Secrets(bytes(32)))]
    parts = json.dumps([settings.to_json(), images.node.name, images.guest.name, sorted(digests)])
    return hashlib.sha256(parts.encode()).hexdigest()[:16]


def _first_line(error: Exception) -> str:
    """Of a file that is not what was written, the place and what is wrong there."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(error)


def _purge(name: str) -> str:
    return f"migrascope testbed down --purge --name {name}"


def _joined(topology: Topology, node: str) -> str:
    return ", ".join(name for name, link in topology.links.items() if node in link.ports) or "nothing of that name"


async def _all(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Does all at once; the first failure ends the others and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None


def _lay(name: str, node: Container) -> None:
    """Gives a node that is down its own name and identity, once, before its first boot."""
    node.lay("/etc/hostname", f"{name}\n")
    lines = ["127.0.0.1 localhost", *(f"{address(each, 'management')} {each}" for each in NODES)]
    node.lay("/etc/hosts", "\n".join(lines) + "\n")
    if not (node.layer / "etc/machine-id").exists():
        node.lay("/etc/machine-id", f"{uuid.uuid4().hex}\n")
