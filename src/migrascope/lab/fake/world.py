"""A world: one guest on one of two hosts, what can be heard of it, and its migration after a script."""

import asyncio
import random
from collections.abc import Callable
from typing import Any
from uuid import UUID

from migrascope.lab.contract import MigrationFailed, NotConverged
from migrascope.lab.fake.script import Script
from migrascope.lab.fake.silence import Silence
from migrascope.lab.fake.time import NS, VirtualClock
from migrascope.lab.steering import Steering, look_of
from migrascope.model.clock import mono_ns
from migrascope.model.controllers import SetLimit, TurnToPostCopy
from migrascope.model.family import FIRST, Family
from migrascope.model.schedule import Factors
from migrascope.model.witness import chained

Heard = Callable[[str, str, int, dict[str, Any]], None]
"""Is told an event of a QEMU: the host, its name, when (monotonic ns), its data."""
FIRST_PASS_S = 0.02
"""From the request until RAM is copied."""
FINISH_S = 0.004
"""From RESUME until the source's QEMU has completed."""
_NOTICED_S = 4.0
"""From the death of a source in its switchover until the migration is given up."""
_PAGE = 4096
_LOOK_S = 0.01


class Copying:
    """The copy of the guest's memory: how far it is, in seconds of an undisturbed one."""

    def __init__(self) -> None:
        self._done_s, self._since, self._factors = 0.0, mono_ns(), dict[str, float]()
        self._changed = asyncio.Event()
        self.failure: MigrationFailed | None = None

    @property
    def done_s(self) -> float:
        return self._done_s + (mono_ns() - self._since) / NS * self._speed

    @property
    def _speed(self) -> float:
        return min(self._factors.values(), default=1.0)

    def slow(self, cause: str, factor: float) -> None:
        """Something slows it down to this factor (0: it stops, 1: no longer)."""
        self._done_s, self._since = self.done_s, mono_ns()
        self._factors[cause] = factor
        self._changed.set()

    def fail(self, failure: MigrationFailed) -> None:
        self.failure = failure
        self._changed.set()

    async def reach(self, seconds: float) -> None:
        """Returns when so much is done. MigrationFailed where it is made to fail before."""
        while self.failure is None and (left := seconds - self.done_s) > 1 / NS:
            self._changed.clear()
            try:
                async with asyncio.timeout(left / self._speed if self._speed and left < 1e9 else None):
                    await self._changed.wait()
            except TimeoutError:
                continue
        if self.failure is not None:
            raise self.failure


class World:
    """A guest that boots on `source`. here: the host on which it runs; ended: why a host's QEMU has ended, by host."""

    def __init__(
        self, clock: VirtualClock, script: Script, factors: Factors, hosts: tuple[str, str], number: int
    ) -> None:
        self.clock, self.script, self.factors, self.number = clock, script, factors, number
        self.source, self.destination = hosts
        self.here, self.prepared = self.source, False
        self.chance = random.Random(f"world/{number}")
        self.born = mono_ns()
        self.boot_id = str(UUID(int=number))
        self.ended: dict[str, str] = {}
        self.silences: list[Silence] = []
        self.listeners: list[Heard] = []
        self.request: int | None = None
        self.stop: int | None = None
        self.resume: int | None = None
        self.complete: int | None = None
        self.failed: str | None = None
        self.copying: Copying | None = None
        self.slowed: dict[str, float] = {}
        self.steering: Steering | None = None
        self.limit_s = factors.downtime_limit_s
        self.turned = False
        self.rounds, self.again_s = 0, 0.0
        """Rounds that have begun, and how long those took that left as much again as they sent."""
        self.ledger_rate = 0.0
        self.records: list[tuple[int, int, str, int]] = []
        """Of the ledger: when each was written (mono ns), its number, its boot, the receipt in it."""
        self.load: dict[str, str] | None = None
        self.load_since = 0
        self._counter, self._chain = 0, "00000000"

    def silence_at(self, at: int, family: Family = FIRST) -> Silence | None:
        """The silence in which that moment lies, over an address family."""
        for silence in self.silences:
            end = silence.end_over(family)
            if silence.start <= at and (end is None or at < end):
                return silence
        return None

    def lost(self, at: int, family: Family = FIRST) -> bool:
        """Whether a packet that is sent then never comes."""
        silence = self.silence_at(at, family)
        return silence is not None and (silence.lost_until is None or at < silence.lost_until)

    async def heard(self, timeout_s: float) -> None:
        """Returns when the guest is heard. OSError where that is not in time."""
        deadline = mono_ns() + round(timeout_s * NS)
        while self.silence_at(mono_ns()) is not None:
            if mono_ns() >= deadline:
                raise OSError("no answer in time")
            await asyncio.sleep(_LOOK_S)

    def alive(self, request: str) -> tuple[int, str]:
        """The counter and the chain of /alive after a request."""
        self._counter += 1
        self._chain = chained(self._chain, request)
        return self._counter, self._chain

    def lived_s(self) -> float:
        """How long the guest has run since its boot."""
        now = mono_ns()
        stood = sum(
            (silence.end or now) - silence.start for silence in self.silences if silence.stands and silence.start <= now
        )
        return (now - self.born - stood) / NS

    def stands(self) -> bool:
        """Whether the guest stands still now."""
        return any(silence.stands and silence.end is None for silence in self.silences)

    def emit(self, host: str, event: str, **data: Any) -> None:
        """An event of a host's QEMU happens now."""
        for heard in self.listeners:
            heard(host, event, mono_ns(), data)

    def mute(self, *, stands: bool, lost_until: int | None = None) -> Silence:
        """From now on nothing is heard."""
        silence = Silence(mono_ns(), stands, lost_until)
        self.silences.append(silence)
        return silence

    def slow(self, cause: str, factor: float) -> None:
        """Something slows copying down, or no longer does (1)."""
        self.slowed[cause] = factor
        if self.copying is not None:
            self.copying.slow(cause, factor)

    def kill(self, host: str, why: str) -> None:
        """The QEMU on a host ends: a guest there is gone, a migration fails."""
        self.ended[host] = why
        if host == self.here and not self.stands():
            self.mute(stands=True)
        self.fail(MigrationFailed(why))

    def fail(self, failure: MigrationFailed) -> None:
        """A migration that is under way fails."""
        if self.copying is not None:
            self.copying.fail(failure)

    def reboot(self) -> None:
        """The guest boots again on the source; what it held is gone."""
        now = mono_ns()
        for silence in self.silences:
            silence.end = now if silence.end is None and silence.stands else silence.end
        self.ended.clear()
        self.here, self.born = self.source, now
        self.number += 1 << 32
        self.boot_id = str(UUID(int=self.number))
        self._counter, self._chain, self.load, self.ledger_rate = 0, "00000000", None, 0.0

    def copied(self) -> float:
        """The share of the memory that is copied."""
        if self.copying is None:
            return 0.0
        whole = self.script.precopy_s - FIRST_PASS_S + self.script.reported_downtime_s
        return min(1.0, max(0.0, self.copying.done_s / whole))

    async def migrate(self, limit_s: float | None, requested: Callable[[], None]) -> dict[str, Any]:
        """Migrates after the script, as fast as what disturbs it allows. limit_s: None: there is none.
        MigrationFailed, NotConverged."""
        script = self.script
        requested()
        self.request, self.copying = mono_ns(), Copying()
        self.copying.slow("setup", 0.0)
        for cause, factor in self.slowed.items():
            self.copying.slow(cause, factor)
        step = asyncio.get_running_loop().call_later(script.precopy_s / 2, self._step_wall_clock)
        steered = asyncio.ensure_future(self._steered(self.steering)) if self.steering is not None else None
        try:
            async with asyncio.timeout(limit_s) as limit:
                await self._precopy()
                limit.reschedule(None)  # what has stopped is over soon
                return await self._switchover()
        except TimeoutError:
            self.emit(self.source, "MIGRATION", status="cancelled")
            self.failed = "cancelled"
            raise NotConverged(f"still active after {limit_s:g} s; cancelled") from None
        except MigrationFailed as error:
            self.failed = self.failed or ("cancelled" if isinstance(error, NotConverged) else "failed")
            if self.source not in self.ended:
                self.emit(self.source, "MIGRATION", status=self.failed)
            raise
        finally:
            step.cancel()
            if steered is not None and not steered.cancel():
                steered.result()  # a mistake here must not look like a manager that does nothing
            self.copying.slow("over", 0.0)

    async def _steered(self, steering: Steering) -> None:
        """Its manager looks at it, and what is decided is done, until the guest stops."""
        assert self.request is not None
        while self.stop is None:
            await asyncio.sleep(_LOOK_S)
            now = mono_ns()
            elapsed_s = (now - self.request) / NS
            action = steering.action(look_of(self.query_migrate(), elapsed_s))
            if action is None:
                continue
            if isinstance(action, SetLimit):
                self.limit_s = action.limit_s
                steering.done(action, now, self.limit_s)
                continue
            steering.done(action, now)
            if isinstance(action, TurnToPostCopy):
                self.turned = True
            else:
                self.fail(NotConverged(f"its manager gave it up after {elapsed_s:.1f} s; cancelled"))

    def _step_wall_clock(self) -> None:
        self.clock.offset_ns += round(self.script.wall_step_s * NS)

    async def _precopy(self) -> None:
        script, work = self.script, self.script.precopy_s - FIRST_PASS_S
        assert self.copying is not None
        await asyncio.sleep(0.001)
        self.emit(self.source, "MIGRATION", status="setup")
        await asyncio.sleep(0.001)
        self.emit(self.destination, "MIGRATION", status="active")
        await asyncio.sleep(FIRST_PASS_S - 0.002)
        await self.copying.reach(0.0)
        self.copying.slow("setup", 1.0)
        self.emit(self.source, "MIGRATION", status="active")
        for at in range(script.rounds):
            await self.copying.reach(at * work / (script.rounds + 1))
            self._pass()
        await self.copying.reach(float("inf") if script.failure == "not-converged" else work)
        while self.limit_s < script.needs_s and not self.turned:
            self.again_s += script.needs_s
            self._pass()
            await self.copying.reach(work + self.again_s)
        if script.failure == "destination-died":
            self.kill(self.destination, "the QEMU on the destination ended in pre-copy")
            await self.copying.reach(work)

    def _pass(self) -> None:
        self.rounds += 1
        self.emit(self.source, "MIGRATION_PASS", **{"pass": self.rounds})

    async def _switchover(self) -> dict[str, Any]:
        script, work = self.script, self.script.precopy_s - FIRST_PASS_S + self.again_s
        assert self.copying is not None
        if self.turned:
            self.emit(self.source, "MIGRATION", status="postcopy-active")
        self.stop = mono_ns()
        silence = self.mute(stands=True, lost_until=self.stop + round(script.lost_s * NS))
        self.emit(self.source, "STOP")
        try:
            await self.copying.reach(work + script.pause_s)
            if script.failure == "source-killed":
                self.kill(self.source, "the QEMU on the source was killed after STOP")
                await asyncio.sleep(_NOTICED_S)
            await self.copying.reach(work + script.pause_s)
        except MigrationFailed:
            if self.source in self.ended:
                silence.lost_until = None
            else:
                self.emit(self.source, "RESUME")
                silence.end = mono_ns()
            raise
        self.here, self.resume = self.destination, mono_ns()
        silence.end = self.resume + round((script.gap_s - script.pause_s) * NS)
        silence.later_ns = round(script.later_over_ipv6_s * NS)
        self.emit(self.destination, "RESUME")
        await asyncio.sleep(FINISH_S)
        self.complete = mono_ns()
        self.emit(self.source, "MIGRATION", status="completed")
        await asyncio.sleep(0.02)
        return self.query_migrate()

    def query_status(self, host: str) -> dict[str, Any]:
        """What a host's QEMU says of itself."""
        if host == self.source:
            status = "running" if self.stop is None or (self.failed and self.here == host) else "postmigrate"
        else:
            status = "running" if self.resume is not None else "inmigrate"
        return {"status": status, "running": status == "running"}

    def query_migrate(self) -> dict[str, Any]:
        """What the source's QEMU says of the migration."""
        script, done, now = self.script, self.copied(), mono_ns()
        if self.request is None or now == self.request:
            return {}
        if self.failed:
            return {"status": self.failed}
        pages = self.factors.memory_bytes / _PAGE
        again = script.dirty_rate_Bps / _PAGE * script.precopy_s
        ram: dict[str, Any] = {
            "total": self.factors.memory_bytes,
            "transferred": round(done * script.reported_transferred_bytes),
            "page-size": _PAGE,
            "normal": round(done * script.data_bytes / _PAGE),
            "duplicate": round(done * (pages + again - script.data_bytes / _PAGE)),
            "dirty-sync-count": script.rounds,
        }
        if self.steering is not None and self.copying is not None:
            rate_Bps = script.data_bytes / (script.precopy_s + script.reported_downtime_s)
            left_s = script.precopy_s - FIRST_PASS_S + self.again_s - self.copying.done_s
            ram |= {
                "remaining": round(rate_Bps * max(0.0, left_s)),
                "transferred": round(rate_Bps * self.copying.done_s), "mbps": rate_Bps * 8e-6,
                "dirty-sync-count": max(1, self.rounds),
            }  # fmt: skip
        if self.complete is not None:
            total, down = round(1000 * script.reported_total_s), round(1000 * script.reported_downtime_s)
            return {"status": "completed", "total-time": total, "downtime": down, "setup-time": 5, "ram": ram}
        ram["dirty-pages-rate"] = round(script.dirty_rate_Bps / _PAGE) if now > self.request + NS // 10 else 0
        return {"status": "active", "total-time": (now - self.request) // 1_000_000, "ram": ram}
