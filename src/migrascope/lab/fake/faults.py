"""What disturbs a world: an injector for each kind of disturbance; of some its guest feels nothing."""

from collections.abc import Callable
from dataclasses import dataclass, field

from migrascope.lab.contract import MigrationFailed
from migrascope.lab.fake.world import Silence, World
from migrascope.model.clock import mono_ns
from migrascope.model.disturbance import Disturbance
from migrascope.model.problem import Problem


@dataclass
class FakeInjector:
    """An injector of lab/disturbable.py: what it does to its world, and what undoes that."""

    does: Callable[[], str]
    undoes: Callable[[], None] = lambda: None
    applied: bool = field(default=False, init=False)

    async def arm(self) -> None:
        """Nothing takes time here."""

    async def apply(self) -> str:
        note = self.does()
        self.applied = True
        return note

    async def heal(self) -> str | None:
        if self.applied:
            self.applied = False
            self.undoes()
        return None


class _Mute:
    """Nothing of the guest is heard. stands: since it stands still."""

    def __init__(self, world: World, *, stands: bool) -> None:
        self._world, self._stands = world, stands
        self._silence: Silence | None = None

    def begin(self) -> str:
        self._silence = self._world.mute(stands=self._stands, lost_until=mono_ns() if self._stands else None)
        return ""

    def end(self) -> None:
        dead = self._stands and self._world.here in self._world.ended
        if self._silence is not None and self._silence.end is None and not dead:
            self._silence.end = mono_ns()


def injector(one: Disturbance, world: World) -> FakeInjector:
    """What brings a disturbance about."""
    sides = {"source": world.source, "destination": world.destination}
    target = sides.get(one.target, "")

    def slowed(factor: float) -> FakeInjector:
        def slow() -> str:
            world.slow(one.name, factor)
            return ""

        return FakeInjector(slow, lambda: world.slow(one.name, 1.0))

    def kill() -> str:
        world.kill(target, f"the QEMU on {target} was killed by SIGKILL")
        return ""

    def abort() -> str:
        if world.request is None or world.complete is not None or world.failed:
            raise Problem("no migration is under way")
        world.failed = "cancelled"
        world.fail(MigrationFailed("the migration was cancelled"))
        return ""

    def freeze() -> FakeInjector:
        muted = _Mute(world, stands=True)

        def begin() -> str:
            world.slow(one.name, 0.0)
            return muted.begin() if target == world.here and not world.stands() else ""

        def end() -> None:
            world.slow(one.name, 1.0)
            muted.end()

        return FakeInjector(begin, end)

    if one.target == "migration" and one.kind == "link-down":
        return slowed(0.0)
    if one.target == "migration" and one.kind == "link-rate":
        return slowed(min(1.0, (one.rate or 0.0) / world.factors.link_bps))
    if one.target in ("tenant", "external") and one.kind == "link-down":
        muted = _Mute(world, stands=False)
        return FakeInjector(muted.begin, muted.end)
    if one.kind == "qemu-kill":
        return FakeInjector(kill)
    if one.kind == "qemu-freeze":
        return freeze()
    if one.kind == "abort":
        return FakeInjector(abort)
    return FakeInjector(lambda: "the fake lab's guest feels nothing of it")
