"""The steady state that a migration is compared with: waited for, and given up where it cannot come."""

import asyncio
from collections.abc import Callable, Collection
from itertools import pairwise
from pathlib import Path
from statistics import mean

from migrascope.model.clock import mono_ns, mono_s
from migrascope.model.family import source_of
from migrascope.model.load import SATURATED
from migrascope.model.plan import Plan
from migrascope.model.problem import Problem
from migrascope.model.steady import NS
from migrascope.store.spool import Spool
from migrascope.trial.agent_client import AgentClient
from migrascope.trial.spool_watch import GRACE_NS, EchoWatch, LedgerWatch, ViewerWatch, VisitWatch

_LOOK_S = 0.1
_COUNT_S = 1.0
"""How often the guest is asked what its processors have done: it costs the guest some milliseconds each time."""
_SETTLED = 0.15
"""The most by which the guest's share of a core may be larger at the begin of a steady window than after it."""


class NotSteady(Problem):
    """The state before the migration did not become steady in time; nothing was migrated."""


class Overloaded(Problem):
    """This machine, or the guest on it, does not keep up with its load; nothing was migrated."""


class SteadyState:
    """Waits until a whole window of the plan's length has been steady in all that is observed.

    directory: the trial's folder, in which the probes write. viewers: their sources. loaded: the plan declares a
    load in the guest, or a disturbance that lasts: late answers belong to it. say: takes what is waited for, in words.
    """

    def __init__(
        self,
        directory: Path,
        plan: Plan,
        guest: AgentClient,
        viewers: Collection[str],
        say: Callable[[str], None],
        *,
        loaded: bool,
    ) -> None:
        self._guest, self._say = guest, say
        self._window_s, self._limit_s = plan.windows.before, plan.windows.steady_limit
        new, kept = plan.visitors.rates
        rates = {"new": new, "kept": kept}
        self._watches: dict[str, Callable[[int, int], str | None]] = {}
        self._visits: list[VisitWatch] = []
        for family in plan.families:
            echo = EchoWatch(directory, plan.probes.echo_rate, self._window_s, family=family)
            self._watches[source_of("probes", family)] = echo.unsteady
            if new or kept:
                visits = VisitWatch(directory, rates, self._window_s, loaded=loaded, family=family)
                self._visits.append(visits)
                self._watches[source_of("visitors", family)] = visits.unsteady
        for viewer in viewers:
            self._watches[viewer] = ViewerWatch(directory, viewer).unsteady
        if plan.verdict.ledger:
            self._watches["ledger"] = LedgerWatch(directory).unsteady
        self._loaded = loaded
        self._counts = Spool(directory, "guest_load", source="engine", host="client")
        self._busy: list[tuple[int, float, float]] = []

    async def wait(self, check: Callable[[], None]) -> int:
        """Gives the start of the steady window (mono ns), which begins after this call and ends about now. check:
        raises where something of the trial has died. NotSteady or Overloaded with the reason."""
        begun, began = mono_ns(), mono_s()
        deadline = began + self._window_s + self._limit_s
        counted = 0.0
        while True:
            check()
            if mono_s() - counted >= _COUNT_S:
                counted = mono_s()
                await self._count()
            until = mono_ns() - GRACE_NS
            since = until - round(self._window_s * NS)
            waiting = {source: why for source, unsteady in self._watches.items() if (why := unsteady(since, until))}
            if since < begun:
                waiting["window"] = "not whole yet"
            if not self._loaded and (why := self._settling(since)):
                waiting["guest"] = why
            if not waiting or (waiting.keys() == {"guest"} and mono_s() > deadline):
                await self._count()
                return since
            if not self._loaded and (words := next(filter(None, (each.overload() for each in self._visits)), None)):
                raise Overloaded(words)
            if mono_s() > deadline:
                words = "; ".join(f"{source}: {why}" for source, why in waiting.items())
                if any(source.startswith(("probes", "ledger")) for source in waiting):
                    raise NotSteady(f"not steady in {self._limit_s:g} s: {words}")
                raise Overloaded(f"this machine was too busy to be steady in {self._limit_s:g} s: {words}")
            self._tell(waiting, began, deadline)
            await asyncio.sleep(_LOOK_S)

    def close(self) -> None:
        """What the guest said of its processors is written whole."""
        self._counts.close()

    def _tell(self, waiting: dict[str, str], began: float, deadline: float) -> None:
        now = mono_s()
        busy = self.busy()
        parts = [f"{source}: {why}" for source, why in waiting.items()]
        if now - began < self._window_s:
            parts = [f"{self._window_s - (now - began):.0f} s until a window is whole"]
        parts += [f"guest's processor {100 * busy:.0f} %"] if busy is not None else []
        self._say(f"steady state, {max(0.0, deadline - now):.0f} s left: {', '.join(parts)}")

    async def _count(self) -> None:
        asked = mono_ns()
        try:
            said = await self._guest.ask("/load", timeout_s=1.0)
        except OSError:
            return
        self._counts.add(asked, mono_ns(), said["uptime_s"], said["idle_s"], said["cpus"])
        self._busy.append((asked, said["uptime_s"], said["uptime_s"] * said["cpus"] - said["idle_s"]))

    def _settling(self, since: int) -> str | None:
        """Whether the guest used far more at the window's begin than after it, or all that it has: an emulator
        translates the code of a guest that has just booted, which the first visits bring up, and on a slow machine that
        takes longer than a window. Its migration is not compared with that."""
        counts = [(a, b) for a, b in pairwise(self._busy) if b[1] > a[1] and a[0] + b[0] > 2 * since]
        shares = [(b[2] - a[2]) / (b[1] - a[1]) for a, b in counts]
        if len(shares) > 1 and shares[0] - mean(shares[1:]) > _SETTLED:
            return f"its processor settles: {100 * shares[0]:.0f} %, then {100 * mean(shares[1:]):.0f} %"
        if shares and mean(shares) >= SATURATED:
            return f"its processor is saturated: {100 * mean(shares):.0f} %"
        return None

    def busy(self) -> float | None:
        """The share of one core that the guest used in the last window, by its own count; None before two counts."""
        since = mono_ns() - round((self._window_s + _COUNT_S / 2) * NS)
        recent = [row for row in self._busy if row[0] >= since]
        if len(recent) < 2 or recent[-1][1] <= recent[0][1]:
            return None
        return round(max(0.0, (recent[-1][2] - recent[0][2]) / (recent[-1][1] - recent[0][1])), 4)
