"""A trial of a domain of others on their two libvirt hosts: observed as at an address, migrated by libvirt."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from migrascope.lab.hosts.domain import TheirDomain
from migrascope.lab.runtime import Runtime
from migrascope.model.clock import mono_ns
from migrascope.model.observed import port_of
from migrascope.model.plan import Plan
from migrascope.node.wait import wait_until
from migrascope.store.recording import TrialFacts
from migrascope.trial.observed import Moved, ObservedTrial, ObservedTrials
from migrascope.trial.runtime import MACHINE

_CONNECT_S, _CONNECT_EVERY_S = 1.0, 0.2
INTERVAL_S = 0.2
"""How often each libvirt is asked for its job: more often would be load on hosts of others."""


async def went_down(address: str, port: int, limit_s: float) -> None:
    """Returns when a service takes no connections. WaitTimeout when it goes on to do so: who was asked to reboot has
    not."""

    async def refused() -> bool:
        try:
            async with asyncio.timeout(_CONNECT_S):
                _, writer = await asyncio.open_connection(address, port)
        except OSError:  # TimeoutError is one
            return True
        writer.close()
        return False

    await wait_until(refused, limit_s, f"{address} goes down, which was asked to reboot", _CONNECT_EVERY_S)


class HostsTrials(ObservedTrials):
    """Runs the trials of a plan on hosts of others, one after another: the domain is where the last one left it."""

    def __init__(
        self, plan: Plan, domain: TheirDomain, known: dict[str, Any], folder: Path, say: Callable[[str], None],
        runtime: Runtime = MACHINE,
    ) -> None:  # fmt: skip
        """known: what recordings say of the hosts. folder: for files that go with a trial."""
        super().__init__(plan, folder, say, runtime)
        self._known, self._domain = known, domain
        self._moved = 0

    async def _prepare(self, trial: ObservedTrial, facts: TrialFacts) -> TrialFacts:
        """Finds the domain, and sets what its migration is to be like."""
        domain, factors = self._domain, facts.factors
        source, destination = await domain.find()
        if self._plan.libvirt.may_restart:
            await domain.reboot()
            await went_down(self._plan.observed.address, port_of(self._plan.libvirt.url), self._plan.windows.boot_limit)
            self._moved = 0
        policy = self._plan.chosen_policies()[factors.policy]
        facts.settings.update(await domain.prepare(policy, factors.downtime_limit_s))
        facts.facts["migrated_before"] = self._moved
        trial.watchers = domain.watchers(INTERVAL_S)
        return replace(facts, source=source, destination=destination)

    async def _move(self, trial: ObservedTrial) -> Moved:
        source, destination = await self._domain.find()
        stamps: list[int] = []

        def requested() -> None:
            stamps.append(trial.events.add("migrate_request", source=source, destination=destination).mono_ns)

        job = await self._domain.migrate(destination, self._plan.windows.limit, requested)
        self._moved += 1
        return Moved(stamps[0], mono_ns(), job)

    async def _proved(self, facts: TrialFacts, *, moved: bool) -> TrialFacts:
        """Where it is, by both hosts; and what was set for its migration is as it was before."""
        await self._domain.restore()
        place = await self._domain.place(facts.destination if moved else facts.source)
        return replace(facts, proof={"place": place})
