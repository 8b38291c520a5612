"""The programs of the fake lab: each records, while virtual time goes by, what a real one would of its world."""

import asyncio
import json
import random
import signal
from pathlib import Path
from typing import Any

from migrascope.lab.fake.time import NS
from migrascope.lab.fake.world import World
from migrascope.model.clock import clock_pair, mono_ns
from migrascope.model.family import family_of
from migrascope.node.process_spec import ProcessSpec
from migrascope.store.spool import Spool

MS = NS // 1000
TICK_S = 0.1
HEADERS, MSS = 66, 1448
PORTS = [
    ("management", "host-a"), ("management", "host-b"), ("storage", "host-a"), ("storage", "host-b"),
    ("storage", "storage"), ("migration", "host-a"), ("migration", "host-b"), ("tenant", "host-a"),
    ("tenant", "host-b"), ("external", "client"), ("external", "origin"),
]  # fmt: skip
CPU_SHARES = {"qemu-host-a": 0.4, "qemu-host-b": 0.3, "echo": 0.03}


class Recorder:
    """A program that records. `step` is called on a grid of every_s, and at the end; where its interval_s is 0, only at
    the beginning and the end. Rows are written when their time has come."""

    every_s = TICK_S
    tables: tuple[str, ...] = ()

    def __init__(self, world: World, member: ProcessSpec, config: dict[str, Any]) -> None:
        self.world, self.source, self.host, self.config = world, member.source, member.host, config
        self.family = family_of(member.source)
        self.chance = random.Random(f"{member.source}/{world.number}")
        self.began, self.draining, self._stopped = mono_ns(), False, False
        self._stepped = 0
        self._due: list[tuple[int, str, tuple[Any, ...]]] = []
        self._spools = {table: self.spool(table) for table in self.tables}
        self._ticks = 0
        self._failure: Exception | None = None
        self._timer: asyncio.Handle = asyncio.get_running_loop().call_soon(self._go_on)

    @property
    def pid(self) -> int:
        """Of no process."""
        return 0

    @property
    def ended(self) -> bool:
        """Whether it was stopped, or failed: a mistake in this lab must not look like a silence."""
        return self._stopped or self._failure is not None

    @property
    def _periodic(self) -> bool:
        return bool(self.config.get("interval_s", True))

    def problem(self) -> str:
        return f"{self.source} failed: {self._failure!r}" if self._failure else f"{self.source} was stopped"

    async def ready(self, timeout_s: float) -> None:
        """It records at once."""

    def send(self, number: signal.Signals) -> None:
        """What is due by now is sent, and nothing after it."""
        if self._periodic:
            self._record(mono_ns())
        self.draining = True

    async def stop(self) -> None:
        """Writes what has come, and ends."""
        if not self._stopped:
            self._stopped = True
            self._timer.cancel()
            self.finish(mono_ns())
            self._record(mono_ns())
            for spool in self._spools.values():
                spool.close()

    def spool(self, table: str, source: str = "", host: str = "") -> Spool:
        """source, host: in place of the program's own, where they are given."""
        return Spool(
            Path(self.config["directory"]), table, source=source or self.source, host=host or self.host,
            instance=self.config["instance"], migration=self.config["migration"],
        )  # fmt: skip

    def at(self, when: int, table: str, *row: Any) -> None:
        """A row that is known when that moment has come (mono ns)."""
        self._due.append((when, table, row))

    def step(self, now: int) -> None:
        """Does what was to be done up to now."""

    def finish(self, now: int) -> None:
        """Records what it has not brought to an end."""

    def _go_on(self) -> None:
        """A timer and no task that sleeps, which takes three times as long: a run has thousands of these."""
        try:
            self._record(mono_ns())
        except Exception as error:
            self._failure = error
            return
        if self._periodic:
            self._ticks += 1
            wait_ns = self.began + self._ticks * round(self.every_s * NS) - mono_ns()
            self._timer = asyncio.get_running_loop().call_later(wait_ns / NS, self._go_on)

    def _record(self, now: int) -> None:
        if now > self._stepped:
            self._stepped = now
            self.step(now)
        due = [row for row in self._due if row[0] <= now]
        if not due:
            return
        self._due = [row for row in self._due if row[0] > now]
        due.sort(key=lambda row: row[0])
        rows: dict[str, list[tuple[Any, ...]]] = {}
        for _, table, row in due:
            rows.setdefault(table, []).append(row)
        for table, several in rows.items():
            self._spools[table].add_all(several)
            self._spools[table].flush()


class Nothing(Recorder):
    """A program that the fake lab does not model: it records nothing."""

    _periodic = False


class Qmp(Recorder):
    """Events of both QEMUs, and their status where it is asked for. A table is named with its host."""

    def __init__(self, world: World, member: ProcessSpec, config: dict[str, Any]) -> None:
        super().__init__(world, member, config)
        for host in (world.source, world.destination):
            for table in ("qmp_event", "qmp_status"):
                self._spools[f"{table} {host}"] = self.spool(table, f"qmp-{host}", host)
        world.listeners.append(self._heard)

    def _heard(self, host: str, event: str, at: int, data: dict[str, Any]) -> None:
        wall = clock_pair()[1] // 1000 * 1000
        self.at(at, f"qmp_event {host}", event, wall, at + MS // 2, json.dumps(data))

    def step(self, now: int) -> None:
        world = self.world
        if not self.config["interval_s"]:
            return
        for host in (world.source, world.destination):
            asked = {"query-status": world.query_status(host)}
            if host == world.source:
                asked["query-migrate"] = world.query_migrate()
            for command, answer in asked.items():
                dead = host in world.ended
                row = (now, 0 if dead else now + MS, command, "" if dead else json.dumps(answer))
                self.at(now, f"qmp_status {host}", *row)


class Links(Recorder):
    """Counters of every port: what is copied on the migration link, and a little everywhere else."""

    tables = ("link",)

    def step(self, now: int) -> None:
        world = self.world
        elapsed = (now - world.born) / NS
        moved = round(world.copied() * world.script.data_bytes)
        packets = -(-moved // MSS)
        bulk, acks = (moved + HEADERS * packets, packets), (HEADERS * (packets // 2), packets // 2)
        for index, (link, node) in enumerate(PORTS, start=2):
            idle = round(elapsed * 20)
            counts = (idle * 1500, idle, idle * 400, idle)
            if link == "migration":
                counts = (*acks, *bulk) if node == world.source else (*bulk, *acks)
            self.at(now, "link", now, link, node, *counts, 0, index)


class Frames(Recorder):
    """The instance's frames by the host from which they come."""

    tables = ("frame",)

    def step(self, now: int) -> None:
        world = self.world
        silent = world.silence_at(now) is not None
        for node in (world.source, world.destination):
            count = 0 if silent or node != world.here else 50
            self.at(now, "frame", now, now + round(TICK_S * NS), node, count)


class Liveness(Recorder):
    """Requests to the guest's liveness service."""

    tables = ("liveness",)

    _seq = 0

    def step(self, now: int) -> None:
        if self.draining:
            return
        request, self._seq = str(self._seq), self._seq + 1
        if self.world.silence_at(now, self.family) is not None:
            self.at(now, "liveness", now, 0, request, "", 0, "", "timeout")
        else:
            answer = self.world.alive(request)
            self.at(now, "liveness", now, now + 2 * MS, request, self.world.boot_id, *answer, "")


class Collector(Recorder):
    """The records of the guest's ledger, each with the receipt of the one before."""

    tables = ("ledger",)

    def step(self, now: int) -> None:
        world = self.world
        if not world.ledger_rate or world.silence_at(now) is not None:
            return
        if world.records and now < world.records[-1][0] + round(NS / world.ledger_rate):
            return
        number = len(world.records) + 1
        world.records.append((now, number, world.boot_id.replace("-", ""), number - 1))
        self.at(now, "ledger", *world.records[-1], number)


class Stress(Recorder):
    """How far the workers in the guest are: each keeps its rate while the guest runs."""

    tables = ("stress",)

    def step(self, now: int) -> None:
        world = self.world
        if world.load is None or world.silence_at(now) is not None:
            return
        seconds = (now - world.load_since) / NS
        done = round(float(world.load.get("rate", 0)) * seconds)
        work = "&".join(f"{key}={value}" for key, value in world.load.items())
        row = (1, work, "running", done, done // 4096, world.lived_s(), round(0.1 * seconds, 3), "")
        self.at(now, "stress", now, now + MS, *row)


class Sink(Recorder):
    """What the guest's network load brings."""

    tables = ("sink",)

    def step(self, now: int) -> None:
        load = self.world.load or {}
        sent = float(load.get("rate", 0)) * (now - self.world.load_since) / NS if "to" in load else 0.0
        self.at(now, "sink", now, round(sent))


class Machine(Recorder):
    """This machine: both clocks, its processors, and those of the processes that it is told."""

    tables = ("clock", "process_cpu", "machine")

    _busy, _pressed = 100.0, 0

    def step(self, now: int) -> None:
        self.at(now, "clock", *clock_pair())
        elapsed = (now - self.world.born) / NS
        for name, share in CPU_SHARES.items():
            self.at(now, "process_cpu", now, name, round(elapsed * share, 4), 200 << 20)
        self._busy += self.chance.uniform(0.05, 0.12)
        self._pressed += self.chance.randrange(0, 2000)
        row = (round(self._busy, 4), 0.0, self._pressed, 0, self._pressed // 10, 4 << 30)
        self.at(now, "machine", now, *row)
