"""Migrations that the paged loop made, as data: dirty rates that differ from what was sampled, and a pause."""

from collections.abc import Sequence

import numpy as np
from qemuloop import Loop, PagedGuest

from migrascope.mechanism.dirtying import Dirty, Dirtying, WorkingSet
from migrascope.mechanism.rules import TOP_BYTES, TOP_SHARE, Step
from migrascope.predict.parameters import Parameters
from migrascope.predict.request import Guest, Request, Settings
from migrascope.predict.trials import Outcome, Split, Trial

MIB = 2**20
TRUE = Parameters(speed=0.9, dirty=1.25, pause_s=0.04, backlog_bytes=1e6)
DEADLINE_S = 20.0
PERIODS = (0.05, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0)


def made(rate: float, size: int, link: float, limit_s: float, seed: int, split: Split = "fit") -> Trial:
    """A migration of the loop with TRUE's differences between what was known before and what was so."""
    random = np.random.default_rng(seed)
    really = rate * TRUE.dirty * float(np.exp(random.normal(0, 0.05)))
    # two sizes of first copy, so that what a byte takes and what a migration takes can be told apart
    held = 16 + size
    guest = PagedGuest.of(64, held, (size, really), seed=seed, top_bytes=TOP_SHARE * 64 * MIB + TOP_BYTES)
    link_Bps, until_s = TRUE.speed * link, DEADLINE_S - TRUE.lead_s
    seen = Loop(
        guest, link_Bps, lambda _: 1000 * limit_s, until_s=until_s, buffer_bytes=TRUE.backlog_bytes, seed=seed
    ).run()
    after_s = TRUE.pause_s + TRUE.backlog_bytes / link_Bps
    outcome = Outcome(
        seen.ended,
        seen.time_s + TRUE.lead_s + after_s if seen.ended else None,
        seen.pause_s + after_s if seen.ended else None,
        seen.data_bytes if seen.ended else None,
        seen.looks,
    )
    known = Guest(64 * MIB, held * MIB, Dirtying((WorkingSet(size * MIB, rate),)))
    settings = Settings("pre-copy", (Step(0.0, limit_s),), DEADLINE_S)
    return Trial(f"{rate} {size} {link} {limit_s}", Request("tcg", known, link, settings), outcome, split)


def campaign(split: Split, rates: Sequence[float], sizes: Sequence[int], first: int) -> list[Trial]:
    seeds = iter(range(first, first + 10_000))
    return [
        made(rate, size, link, limit_s, next(seeds), split)
        for rate in rates
        for size in sizes
        for link in (20e6, 40e6)
        for limit_s in (0.1, 0.3)
        for _ in range(2 if split == "fit" else 1)
    ]


def points(trial: Trial) -> list[Dirty]:
    """What a sampling of its guest would have seen."""
    return [Dirty(period, trial.request.guest.dirtying.within(period)) for period in PERIODS]
