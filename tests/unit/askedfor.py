"""Migrations that are asked for: as the mechanism takes them, and as the paged loop makes them."""

from qemuloop import Loop, PagedGuest

from migrascope.mechanism.dirtying import Dirtying, WorkingSet
from migrascope.mechanism.rules import TOP_BYTES, TOP_SHARE, Step
from migrascope.predict.parameters import Parameters
from migrascope.predict.request import Guest, Request, Settings

MIB = 2**20
GIGABIT = 117e6
BARE = Parameters(pause_s=0.0, lead_s=0.0)
FIXED = (Step(0.0, 0.3),)


def request(
    *writers: tuple[float, float],
    memory: float = 512,
    held: float = 300,
    link: float = GIGABIT,
    settings: Settings | None = None,
) -> Request:
    """Of a guest with so many MiB, of which it holds so many, and writers (MiB, bytes a second)."""
    dirtying = Dirtying(tuple(WorkingSet(size * MIB, rate) for size, rate in writers))
    return Request("tcg", Guest(memory * MIB, held * MIB, dirtying), link, settings or Settings("pre-copy", FIXED))


def limited(limit_s: float) -> Settings:
    return Settings("pre-copy", (Step(0.0, limit_s),))


def paged(wanted: Request, *writers: tuple[int, float], seed: int = 1, **loop: object) -> Loop:
    """The loop of a guest of the same kind."""
    memory, held = (int(size / MIB) for size in (wanted.guest.memory_bytes, wanted.guest.held_bytes))
    guest = PagedGuest.of(memory, held, *writers, seed=seed, top_bytes=TOP_SHARE * memory * MIB + TOP_BYTES)
    steps = wanted.settings.limits

    def limit_ms(now_s: float) -> float:
        return [1000 * step.limit_s for step in steps if step.at_s <= now_s][-1]

    settings = wanted.settings
    return Loop(
        guest, wanted.link_Bps, limit_ms, until_s=settings.deadline_s, seed=seed,
        max_bandwidth=settings.bound_Bps or 0.0, **loop,  # type: ignore[arg-type]
    )  # fmt: skip
