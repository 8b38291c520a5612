"""What a guest holds and dirties, sampled before its migration, so that it can be predicted."""

import asyncio
import json
from collections.abc import Awaitable, Callable

from migrascope.lab.sampled import Sampled
from migrascope.model.clock import mono_ns
from migrascope.model.problem import Problem
from migrascope.store.spool import Spool
from migrascope.trial.parts import Trial

PERIODS_S = (0.05, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
"""8 s in all. A rate is in whole MiB/s, so that of the shortest the most is lost."""
PAGES_OF_GIB = 16384
"""The most that QEMU takes: each sixteenth page. With its own 512 a working set of 8 MiB has four of them."""
PAGES_LOOKED_AT = 4096
"""A share of pages is then known to 1.6 %, with 95 %."""


async def sample(trial: Trial) -> bool:
    """Samples where the plan says so, and gives whether it did. What fails is recorded, and the trial goes on, which is
    about its migration."""
    instance = trial.instance
    if not trial.plan.sampled or not isinstance(instance, Sampled):
        return False
    trial.phase("sample")
    spool = Spool(
        trial.opened, "sample", source="engine", host=trial.source, instance=trial.instance_id,
        migration=trial.migration_id,
    )  # fmt: skip
    with spool:

        async def held() -> str:
            return json.dumps(await asyncio.to_thread(instance.filled, PAGES_LOOKED_AT))

        await _look(spool, "held", 0.0, PAGES_LOOKED_AT, held)
        for period_s in PERIODS_S:

            async def dirtied(period_s: float = period_s) -> str:
                return json.dumps(await instance.dirtied(period_s, PAGES_OF_GIB))

            await _look(spool, "dirty", period_s, PAGES_OF_GIB, dirtied)
            trial.check()
    return True


async def _look(spool: Spool, what: str, period_s: float, pages: int, look: Callable[[], Awaitable[str]]) -> None:
    asked, answered, answer, why = mono_ns(), 0, "", ""
    try:
        answer = await look()
        answered = mono_ns()
    except Problem as error:
        why = str(error)
    spool.add(asked, answered, what, period_s, pages, answer, why)
