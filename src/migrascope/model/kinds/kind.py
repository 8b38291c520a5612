"""What a kind of disturbance is, and what a lab brings kinds about with."""

import sys
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, TypeVar

if TYPE_CHECKING:
    from migrascope.model.disturbance import Disturbance

T = TypeVar("T")
Way = Literal["both", "from-source", "from-destination"]
Side = Literal["source", "destination"]
HOST_SIDES = ("source", "destination")
LINKS = ("migration", "storage", "tenant", "external")
EVERY, CLOUD = ("qemu", "libvirt", "openstack"), ("openstack",)
ACCEPTED = "accepted"
"""The phase before all others where an API is asked: it has taken the request."""
STORAGE_COPY = "storage-copy"
"""The phase before the copy of the memory, in which a volume is copied."""
PHASES = ("setup", "first-copy", "switchover", "post-copy", "finish")
"""Phases by name; round:N is one too."""
BUCKET, LOSS, TAP = "rate limit (tbf)", "random loss (nftables)", "tap"
MEMORY_LIMIT = "memory limit (cgroup)"
"""What a kind may need of the kernel, as people read it."""
OPERATOR = "an operator's command"
"""The ability of what is asked for about a migration that runs."""


class Injector(Protocol):
    """Brings a disturbance about. Problem or OSError where it cannot."""

    async def arm(self) -> None:
        """Prepares all that takes time; nothing is disturbed yet."""

    async def apply(self) -> str:
        """Disturbs; what is worth a note, or ""."""

    async def heal(self) -> str | None:
        """Undoes it, whether or not it has been applied, also twice; what is worth a note of all it did, or None."""


class Tools:
    """What a lab brings disturbances about with, around one instance that is to move. A lab has those that the kinds
    need which name it. Rates in bit/s of links and B/s of writes, sizes in bytes, times in s."""

    def cut_link(self, link: str, way: Way | None, side: Side | None) -> Injector:
        """No frame passes. way: only what one host sends is lost. side: that host alone is cut off."""
        raise NotImplementedError

    def lose_frames(self, link: str, share: float, way: Way | None, side: Side | None) -> Injector:
        """A share of the frames (0 to 1) is lost."""
        raise NotImplementedError

    def delay_frames(self, link: str, seconds: float, way: Way | None, side: Side | None) -> Injector:
        """Frames come later."""
        raise NotImplementedError

    def lose_announcements(self) -> Injector:
        """What announces the instance's new place is lost."""
        raise NotImplementedError

    def mislead_router(self) -> Injector:
        """The router has neighbour entries of the instance that are wrong."""
        raise NotImplementedError

    def limit_link(self, link: str, rate: float) -> Injector:
        """Every node of the link sends no faster."""
        raise NotImplementedError

    def flood_link(self, link: str, rate: float) -> Injector:
        """Others' datagrams leave the source at that rate."""
        raise NotImplementedError

    def kill_qemu(self, side: str) -> Injector:
        """The QEMU of a host ends at once."""
        raise NotImplementedError

    def freeze_qemu(self, side: str) -> Injector:
        """The QEMU of a host stands still."""
        raise NotImplementedError

    def starve_qemu(self, side: str) -> Injector:
        """The QEMU of a host gets no more memory."""
        raise NotImplementedError

    def fill_store(self) -> Injector:
        """The volume's store takes no more writes."""
        raise NotImplementedError

    def fill_host(self, side: str) -> Injector:
        """The disk of a host, on which its QEMU has the volume, takes no more writes."""
        raise NotImplementedError

    def load_store(self, size: int, rate: float) -> Injector:
        """Another client of the store writes among so many bytes."""
        raise NotImplementedError

    def recover_store(self, side: str, size: int) -> Injector:
        """A host's store catches up with so many bytes."""
        raise NotImplementedError

    def hold_memory(self, side: str, size: int) -> Injector:
        """A process holds so much of a host's memory, and writes it all the time."""
        raise NotImplementedError

    def occupy_processors(self, side: str, count: int) -> Injector:
        """So many busy processes run on a host."""
        raise NotImplementedError

    def abort_migration(self) -> Injector:
        """The running migration is aborted."""
        raise NotImplementedError

    def force_completion(self) -> Injector:
        """The running migration is to complete at once."""
        raise NotImplementedError

    def migrate_again(self) -> Injector:
        """The same migration is asked for once more."""
        raise NotImplementedError

    def kill_service(self, node: str, service: str, *, stay: bool) -> Injector:
        """A service of a node dies. stay: and does not start again until that is healed."""
        raise NotImplementedError

    def freeze_service(self, node: str, service: str) -> Injector:
        """A service of a node stands still."""
        raise NotImplementedError

    def power_off(self, side: str) -> Injector:
        """A host loses its power."""
        raise NotImplementedError


class Kind:
    """All that there is to know of a kind. Its page in the docs is the docstring of its module.

    ability: what it is, of several kinds alike. does: for people who choose one; how: for those who judge it. targets:
    what it can be aimed at, empty where it takes none; beside: those that only the lab openstack has. needs and takes:
    keys of its dose that must be there, and that may. instant: it has no duration. labs: which have it. kernel: what of
    the kernel it needs, one of the names above. dose: the key that says how much of it there is, and its unit.
    less_is_worse: a smaller dose disturbs more. in_guest: it is steered through the guest, far too slowly for a phase.
    """

    name: ClassVar[str]
    ability: ClassVar[str]
    does: ClassVar[str]
    how: ClassVar[str]
    targets: ClassVar[tuple[str, ...]] = ()
    beside: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()
    takes: ClassVar[tuple[str, ...]] = ()
    instant: ClassVar[bool] = False
    labs: ClassVar[tuple[str, ...]] = ("qemu",)
    kernel: ClassVar[tuple[str, ...]] = ()
    dose: ClassVar[tuple[str, str] | None] = None
    less_is_worse: ClassVar[bool] = False
    in_guest: ClassVar[bool] = False

    def phases(self, lab: str = "qemu") -> tuple[str, ...]:
        """The phases at which it can be aimed."""
        first = (ACCEPTED,) if lab == "openstack" else (STORAGE_COPY,)
        return () if self.in_guest else (*first, *PHASES[:2], "round:N", *PHASES[2:])

    def targets_of(self, lab: str) -> tuple[str, ...]:
        """What it can be aimed at on a lab."""
        return (*self.targets, *self.beside) if lab == "openstack" else self.targets

    def problem(self, disturbance: "Disturbance") -> str | None:
        """What of a dose, whose keys are the right ones, makes no sense; None where all does."""
        return None

    def refused_on(self, disturbance: "Disturbance", lab: str) -> str | None:
        """Why a lab that has the kind does not have this of it; None where it has."""
        return None

    def memory_bytes(self, disturbance: "Disturbance") -> int:
        """The memory of this machine that it takes."""
        return 0

    def disk_bytes(self, disturbance: "Disturbance", lab: str) -> int:
        """The disk of this machine that it takes."""
        return 0

    def guest_bytes(self, disturbance: "Disturbance") -> int:
        """The guest's memory that it takes."""
        return 0

    def injector(self, disturbance: "Disturbance", tools: Tools) -> Injector:
        """What brings it about. Not of kinds that are steered through the guest."""
        raise NotImplementedError

    def page(self) -> str:
        """Its page in the docs."""
        return f"# {self.name}\n\n{sys.modules[type(self).__module__].__doc__}\n"


def given(value: T | None) -> T:
    """A key of a dose that must be there: the plan was refused without it."""
    assert value is not None
    return value
