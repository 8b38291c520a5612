"""The fake lab as a trial sees it: the contracts of a lab, an instance and a fleet, over worlds."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from migrascope.lab.contract import MigrationFailed, Requested
from migrascope.lab.disturbable import Rescue, See
from migrascope.lab.fake import faults
from migrascope.lab.fake.runtime import ORIGIN, PAGE, FakeRuntime, addresses
from migrascope.lab.fake.script import Script
from migrascope.lab.fake.time import VirtualClock
from migrascope.lab.fake.world import World
from migrascope.lab.fleet import Look, State
from migrascope.lab.offline import OfflineVolume
from migrascope.lab.steering import Steering
from migrascope.model.clock import mono_ns
from migrascope.model.disturbance import Disturbance
from migrascope.model.kinds.kind import Injector
from migrascope.model.plan import LINKS
from migrascope.model.postcheck import PostCheck
from migrascope.model.schedule import HOSTS, Factors
from migrascope.model.witness import record_line
from migrascope.node.process_spec import ProcessSpec

SITE = {"/index.html": hashlib.sha256(PAGE).hexdigest()}
FACTS = {"lab": "fake", "accelerator": "none", "qemu": "none"}
_OPERATOR_S = 5.0
"""So long an operator looks whether the guest answers by itself."""


class FakeInstance:
    """An instance that runs in a world. It can be disturbed, and rescued."""

    def __init__(self, world: World, number: int, gone: Callable[[], object]) -> None:
        self.world, self._gone = world, gone
        self.address, self.address6 = addresses(number)

    def problem(self) -> str | None:
        """Why its QEMU has ended, or None."""
        return self.world.ended.get(self.world.here)

    async def console(self) -> str:
        """Its last heartbeats, one a second while it runs."""
        lived = int(self.world.lived_s())
        return "".join(
            f"migrascope alive {beat} {self.world.boot_id}\n" for beat in range(max(0, lived - 9), lived + 1)
        )

    def pids(self) -> dict[str, int]:
        """No process runs for it."""
        return {}

    def watchers(self, interval_s: float) -> list[ProcessSpec]:
        """The same programs as in the QEMU lab."""
        names = ("qmp", "link", "frames") if interval_s else ("qmp", "link")
        return [
            ProcessSpec(name, f"migrascope.probe.{name}", "fabric", None, {"interval_s": interval_s}) for name in names
        ]

    async def prepare(self, destination: str, factors: Factors) -> dict[str, Any]:
        """What both QEMUs would have read back."""
        self.world.limit_s = factors.downtime_limit_s
        read = {
            "capabilities": {"events": True, "auto-converge": False, "xbzrle": False, "multifd": False},
            "parameters": {"downtime-limit": round(1000 * factors.downtime_limit_s), "max-bandwidth": 0},
        }
        links = {link: factors.link_bps if link == "migration" else None for link in LINKS}
        return {**dict.fromkeys((self.world.source, destination), read), "links": links}

    async def dirtied(self, period_s: float, pages: int) -> dict[str, Any]:
        """As QEMU answers: in whole MiB/s, rounded down."""
        await asyncio.sleep(period_s)
        rate = int(self.world.script.dirty_rate_Bps / 2**20)
        return {"status": "measured", "dirty-rate": rate, "calc-time": round(1000 * period_s), "sample-pages": pages}

    def filled(self, pages: int) -> int:
        """A quarter of them."""
        return pages // 4

    def steer(self, steering: Steering) -> None:
        """Whatever is decided, its world does at once."""
        self.world.steering = steering

    async def migrate(self, destination: str, limit_s: float, requested: Requested) -> dict[str, Any]:
        """Gives the source's final query-migrate."""
        return await self.world.migrate(limit_s, requested)

    async def place(self, destination: str) -> PostCheck:
        """Where it runs."""
        here = self.world.here
        runs = f"ended on {here}" if here in self.world.ended else f"running on {here}"
        return PostCheck("pass" if runs == f"running on {destination}" else "fail", runs)

    async def offline(self) -> OfflineVolume:
        """Its ledger as it wrote it, on a clean file system."""
        lines = (record_line(number, boot, receipt) for _, number, boot, receipt in self.world.records)
        return OfflineVolume(b"".join(lines), 0, "clean", SITE)

    async def destroy(self) -> None:
        """Nothing of it is reached any more."""
        self._gone()

    def listen(self, see: See) -> None:
        """Tells every event of the source's QEMU from now on."""
        source = self.world.source

        def heard(host: str, event: str, at_ns: int, data: dict[str, Any]) -> None:
            if host == source:
                see(event, data, at_ns)

        self.world.listeners.append(heard)

    def injector(self, disturbance: Disturbance, destination: str) -> Injector:
        """What brings a disturbance about."""
        return faults.injector(disturbance, self.world)

    async def rescue(self, answers: Callable[[], Awaitable[bool]]) -> Rescue:
        """Waits for a while, and then boots it again on the source."""
        began, steps = mono_ns(), list[str]()
        while not await answers():
            if not steps and mono_ns() - began > _OPERATOR_S * 1e9:
                self.world.reboot()
                steps.append("boot it again")
            await asyncio.sleep(0.1)
        return Rescue(self.world.here, steps, round((mono_ns() - began) / 1e9, 3))


class FakeFleet:
    """Instances that migrate as their scripts say, side by side."""

    def __init__(self, instances: Mapping[str, FakeInstance]) -> None:
        self._instances = instances
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self.addresses: Mapping[str, str] = {name: instance.address for name, instance in instances.items()}
        self.settings: dict[str, Any] = {}

    async def look(self) -> Look:
        """Asks for all at once; an answer takes 20 ms."""
        asked = mono_ns()
        await asyncio.sleep(0.02)
        return Look(asked, mono_ns(), {name: self._state(name) for name in self._instances}, 1)

    def _state(self, name: str) -> State:
        world, task = self._instances[name].world, self._tasks.get(name)
        if task is None:
            return State("ACTIVE", "", world.here, "")
        if not task.done():
            return State("MIGRATING", "migrating", world.here, "running")
        gone = world.here in world.ended
        record = "completed" if world.complete is not None else "error"
        return State("ERROR" if gone else "ACTIVE", "", world.here, record, world.ended.get(world.here, ""))

    async def migrate(self, name: str, destination: str) -> None:
        """Takes the request."""
        self._tasks[name] = asyncio.ensure_future(self._migrated(name))

    async def _migrated(self, name: str) -> None:
        with suppress(MigrationFailed):
            await self._instances[name].world.migrate(None, lambda: None)

    async def cancel(self, name: str) -> None:
        """Gives it up."""
        self._instances[name].world.fail(MigrationFailed("cancelled"))

    def links(self) -> list[ProcessSpec]:
        """Nothing counts here."""
        return []

    async def destroy(self) -> None:
        """Nothing of it is reached any more."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        for instance in self._instances.values():
            await instance.destroy()


class FakeLab:
    """A lab that is up. worlds: of its instances, by address. runtime: the machine in which its programs run."""

    hosts = HOSTS
    origin = ORIGIN
    client = None

    def __init__(self, clock: VirtualClock, folder: Path, script: Callable[[int], Script], number: int) -> None:
        """script: the truths of each instance, counted from 1. number: what tells this trial's guests from others'."""
        self.folder, self.facts = folder, dict[str, Any](FACTS)
        self._clock, self._script, self._number = clock, script, number
        self.worlds: dict[str, World] = {}
        self.runtime = FakeRuntime(self.worlds)

    @classmethod
    @contextmanager
    def up(cls, clock: VirtualClock, script: Callable[[int], Script], number: int = 1) -> Iterator["FakeLab"]:
        """The lab, with a folder that goes with it."""
        with TemporaryDirectory(prefix="migrascope-") as folder:
            yield cls(clock, Path(folder), script, number)

    async def create(self, name: str, factors: Factors, host: str, folder: Path) -> FakeInstance:
        """An instance that boots on `host`."""
        folder.mkdir(exist_ok=True)
        at = len(self.worlds) + 1
        address, _ = addresses(at)
        hosts = (host, next(other for other in self.hosts if other != host))
        world = World(self._clock, self._script(at), factors, hosts, (at - 1) * 100_000 + self._number)
        self.worlds[address] = world
        return FakeInstance(world, at, partial(self.worlds.pop, address, None))

    async def create_fleet(self, factors: Factors, host: str, folder: Path, requests_per_s: float) -> FakeFleet:
        """Instances that boot on `host`."""
        made = {
            f"vm-{at}": await self.create(f"vm-{at}", factors, host, folder) for at in range(1, factors.instances + 1)
        }
        return FakeFleet(made)
