"""The disturbance of a trial: armed before the request, set off at its moment, healed before the trial ends."""

import asyncio
from pathlib import Path
from typing import Any

from migrascope.lab.contract import Instance
from migrascope.lab.disturbable import Disturbable
from migrascope.model.clock import mono_ns
from migrascope.model.disturbance import Disturbance
from migrascope.model.kinds.guestload import GuestLoad
from migrascope.model.kinds.kind import Injector
from migrascope.model.phase import Trigger
from migrascope.model.problem import Problem
from migrascope.store.spool import Spool
from migrascope.trial.agent_client import AgentClient
from migrascope.trial.guest_stress import GuestStress

REBUILT = "the instance and both QEMUs are new in each trial"


class Disturbing:
    """One disturbance with its stamps. `end` always heals, and may be called twice."""

    def __init__(self, disturbance: Disturbance, injector: Injector) -> None:
        self._one, self._injector = disturbance, injector
        self._trigger = Trigger(disturbance.phase or "")
        self._task: asyncio.Task[None] | None = None
        self._due_ns = self._asked_ns = self._effect_ns = self._healed_ns = 0
        self._notes: list[str] = []
        self._ended = False
        self._fault: Exception | None = None

    @classmethod
    async def armed(
        cls, disturbance: Disturbance, instance: Instance, destination: str, guest: AgentClient, swallows: str = ""
    ) -> "Disturbing":
        """Prepares it. Problem where the lab has no disturbances, or it cannot be prepared; nothing is left then.
        swallows: where network load of the guest goes."""
        if not isinstance(instance, Disturbable):
            raise Problem(f"disturbance {disturbance.name}: this lab has none")
        kind = disturbance.made
        injector: Injector
        if isinstance(kind, GuestLoad):
            injector = GuestStress(guest, kind.told(disturbance, swallows))
        else:
            injector = instance.injector(disturbance, destination)
        made = cls(disturbance, injector)
        try:
            await injector.arm()
        except BaseException:
            await injector.heal()
            raise
        instance.listen(made.see)
        return made

    async def begin(self) -> None:
        """The steady state is about to be waited for."""
        if self._one.when == "trial":
            await self._disturb(mono_ns())

    @property
    def in_window(self) -> bool:
        """Whether it belongs into the window before the migration."""
        return self._one.when == "window"

    def window(self) -> None:
        """The window before the migration begins."""
        if self._one.when == "window":
            self._set_off(mono_ns())

    def request(self) -> None:
        """The migration is being asked for."""
        self._trigger.request()

    def see(self, event: str, data: dict[str, Any], at_ns: int) -> None:
        """The source's hypervisor says what happened at that stamp (monotonic ns)."""
        if not self._ended and self._trigger.see(event, data, at_ns):
            self._set_off(at_ns)

    def _set_off(self, from_ns: int) -> None:
        self._task = asyncio.ensure_future(self._disturb(from_ns + round(self._one.offset * 1e9)))

    async def _disturb(self, due_ns: int) -> None:
        self._due_ns = due_ns
        if (left := due_ns - mono_ns()) > 0:
            await asyncio.sleep(left / 1e9)
        self._asked_ns = mono_ns()
        try:
            note = await self._injector.apply()
        except (Problem, OSError) as error:
            self._notes.append(f"not applied: {error}")
            return
        except Exception as error:
            self._notes.append(f"not applied: {error!r}")
            self._fault = error
            return
        self._effect_ns = mono_ns()
        self._notes += [note] if note else []
        if self._one.duration is not None:
            await asyncio.sleep(max(0.0, self._one.duration - (mono_ns() - self._effect_ns) / 1e9))
            await self._heal()

    @property
    def passes(self) -> bool:
        """Whether it is over before the trial is."""
        return self._one.when != "trial"

    async def passed(self) -> None:
        """Returns when it is over, at once where it was never set off."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _heal(self) -> None:
        note = await self._injector.heal()
        self._notes += [note] if note else []
        if self._effect_ns and not self._healed_ns and not self._one.made.instant:
            self._healed_ns = mono_ns()

    async def end(self, opened: Path, instance: str, migration: str) -> None:
        """Heals and records; OSError or Problem where healing fails, which is recorded too. An injector's fault, which
        is Migrascope's own, ends the trial once all is healed and recorded."""
        if self._ended:
            return
        self._ended = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        try:
            await self._heal()
        except (Problem, OSError) as error:
            self._notes.append(f"not healed: {error}")
            raise
        finally:
            self._record(opened, instance, migration)
        if self._fault is not None:
            raise self._fault

    def _record(self, opened: Path, instance: str, migration: str) -> None:
        disturbance = self._one
        if not self._asked_ns:
            self._notes.append(f"{disturbance.when} never came")
        with Spool(
            opened, "disturbance", source="engine", host="engine", instance=instance, migration=migration
        ) as spool:
            spool.add(
                disturbance.name, disturbance.kind, disturbance.target, disturbance.when,
                self._due_ns, self._asked_ns, self._effect_ns, self._healed_ns, "; ".join(self._notes),
            )  # fmt: skip

    def facts(self) -> dict[str, Any]:
        """What is known of the lab's health once it has ended."""
        return {"name": self._one.name, "healed": self._healed_ns > 0, "rebuilt": REBUILT, "notes": self._notes}
