"""What disturbs a world: an injector for each kind of disturbance; of some its guest feels nothing."""

from collections.abc import Callable
from dataclasses import dataclass, field

from migrascope.lab.contract import MigrationFailed
from migrascope.lab.fake.silence import Silence
from migrascope.lab.fake.world import World
from migrascope.model.clock import mono_ns
from migrascope.model.disturbance import Disturbance
from migrascope.model.kinds.kind import Injector, Side, Tools, Way
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


class FakeTools(Tools):
    """What disturbs a world; of the rest its guest feels nothing."""

    def __init__(self, disturbance: Disturbance, world: World) -> None:
        self._one, self._world = disturbance, world
        self._hosts = {"source": world.source, "destination": world.destination}

    def cut_link(self, link: str, way: Way | None, side: Side | None) -> Injector:
        if link == "migration":
            return self._slowed(0.0)
        muted = _Mute(self._world, stands=False)
        return FakeInjector(muted.begin, muted.end) if link in ("tenant", "external") else _unfelt()

    def limit_link(self, link: str, rate: float) -> Injector:
        return self._slowed(min(1.0, rate / self._world.factors.link_bps)) if link == "migration" else _unfelt()

    def kill_qemu(self, side: str) -> Injector:
        host = self._hosts[side]

        def kill() -> str:
            self._world.kill(host, f"the QEMU on {host} was killed by SIGKILL")
            return ""

        return FakeInjector(kill)

    def freeze_qemu(self, side: str) -> Injector:
        host, world = self._hosts[side], self._world
        muted = _Mute(world, stands=True)

        def begin() -> str:
            world.slow(self._one.name, 0.0)
            return muted.begin() if host == world.here and not world.stands() else ""

        def end() -> None:
            world.slow(self._one.name, 1.0)
            muted.end()

        return FakeInjector(begin, end)

    def abort_migration(self) -> Injector:
        world = self._world

        def abort() -> str:
            if world.request is None or world.complete is not None or world.failed:
                raise Problem("no migration is under way")
            world.failed = "cancelled"
            world.fail(MigrationFailed("the migration was cancelled"))
            return ""

        return FakeInjector(abort)

    def _slowed(self, factor: float) -> Injector:
        def slow() -> str:
            self._world.slow(self._one.name, factor)
            return ""

        return FakeInjector(slow, lambda: self._world.slow(self._one.name, 1.0))


def injector(disturbance: Disturbance, world: World) -> Injector:
    """What brings a disturbance about."""
    try:
        return disturbance.made.injector(disturbance, FakeTools(disturbance, world))
    except NotImplementedError:
        return _unfelt()


def _unfelt() -> Injector:
    return FakeInjector(lambda: "the fake lab's guest feels nothing of it")
