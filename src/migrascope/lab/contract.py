"""What a lab is to a trial: where an instance lives, how it is watched and how it is migrated."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from migrascope.lab.offline import OfflineVolume
from migrascope.model.family import FIRST, Family
from migrascope.model.postcheck import PostCheck
from migrascope.model.problem import Problem
from migrascope.model.schedule import Factors
from migrascope.node.namespace import Namespace
from migrascope.node.process_spec import ProcessSpec

_PANIC = re.compile(r"Kernel panic|BUG: (?!soft lockup|workqueue lockup)|Oops: |Attempted to kill init")
Requested = Callable[[], None]


def panic_in(console: str) -> str | None:
    """The line of a console in which the kernel died, or None."""
    return next((line for line in console.splitlines() if _PANIC.search(line)), None)


class MigrationFailed(Problem):
    """A migration that ended without the instance on the destination; the message holds the reason."""


class NotConverged(MigrationFailed):
    """A migration that was still copying at the plan's limit, and was cancelled."""


class Instance(Protocol):
    """An instance of some lab. address: its website's IPv4 address, as its visitors know it."""

    address: str

    def problem(self) -> str | None:
        """Why it no longer runs where it should, or None."""

    async def console(self) -> str | None:
        """What it wrote on its console so far; None where nobody can know."""

    def pids(self) -> dict[str, int]:
        """Its hypervisor's processes on this machine, by name."""

    def watchers(self, interval_s: float) -> list[ProcessSpec]:
        """The lab's own probes. interval_s: how often they ask; 0: only what comes unasked, and counters at the
        beginning and the end."""

    async def prepare(self, destination: str, factors: Factors) -> dict[str, Any]:
        """Makes the migration ready to be asked for, and gives every setting as it was read back."""

    async def migrate(self, destination: str, limit_s: float, requested: Requested) -> dict[str, Any]:
        """Migrates a prepared instance and gives the hypervisor's, or the API's, final answer.

        requested is called right before the request is sent. MigrationFailed with the reason; NotConverged after
        limit_s, when the migration has been cancelled.
        """

    async def place(self, destination: str) -> PostCheck:
        """Whether it runs on the destination and nowhere else."""

    async def offline(self) -> OfflineVolume | None:
        """Ends the instance for good and gives what its volume holds; None where the volume cannot be read."""

    async def destroy(self) -> None:
        """Removes everything of it."""


@runtime_checkable
class DualStack(Protocol):
    """An instance of a lab that may be dual-stack. address6: its website's IPv6 address."""

    address6: str


def address_over(instance: Instance, family: Family) -> str:
    """The address at which an instance is reached over a family. Problem where it has none."""
    if family == FIRST:
        return instance.address
    if not isinstance(instance, DualStack):
        raise Problem(f"families: the instances of this lab have no address of {family}; leave it out")
    return instance.address6


class Lab(Protocol):
    """A lab that is up.

    hosts: between which instances move, by their names there. client: where visitors are; None is this machine.
    origin: the address from which the online video comes, with its port where that is not 80; empty where none does.
    facts: what recordings say of the lab.
    """

    hosts: tuple[str, str]
    origin: str
    facts: dict[str, Any]

    @property
    def client(self) -> Namespace | None: ...

    @property
    def folder(self) -> Path:
        """Where what runs for it keeps its files."""

    async def create(self, name: str, factors: Factors, host: str, folder: Path) -> Instance:
        """A fresh instance that boots on `host`; the caller destroys it. Nothing of it is left when this raises."""
