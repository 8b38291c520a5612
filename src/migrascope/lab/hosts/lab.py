"""Two hosts of others as a lab for guests of ours: what guests are made of is in their pool while a run lasts."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from migrascope.lab.boot_image import BootImage
from migrascope.lab.hosts import marks
from migrascope.lab.hosts.accelerator import choose
from migrascope.lab.hosts.guest import GuestFiles, OurGuest, Serve, console_of
from migrascope.lab.hosts.pair import Pair
from migrascope.lab.hosts.pool import Pool
from migrascope.lab.libvirt.connection import LibvirtError
from migrascope.lab.libvirt.domain import DomainSpec
from migrascope.lab.qemu.volume import convert
from migrascope.model.axes import STREAMED
from migrascope.model.family import FIRST, Family
from migrascope.model.hosts import HostsPlan
from migrascope.model.policy import Policy
from migrascope.model.problem import Problem
from migrascope.model.schedule import Factors
from migrascope.model.storage import COPIED, Storage
from migrascope.node.machine import machine_tag
from migrascope.node.process import Where
from migrascope.node.register import Register
from migrascope.node.takedown import Cleaned, remove

_PROOF_BYTES = 2**28


@dataclass(frozen=True)
class Live:
    """How guests come to the network's services. origin: where the live stream comes from, as a URL has it; empty where
    the plan has none. serve: has it served. lease_s: how long an address is waited for that the plan does not name."""

    origin: str
    serve: Serve
    lease_s: float


class HostsLab:
    """A lab that is up. Use `HostsLab.up` as a context manager; all that it put on the hosts goes when it ends."""

    client = None

    def __init__(
        self, pair: Pair, plan: HostsPlan, pools: Mapping[str, Pool], register: Register, boot: BootImage,
        files: GuestFiles, storage: Storage, policies: Mapping[str, Policy], python: str, facts: dict[str, Any],
        live: "Live", families: Sequence[Family],
    ) -> None:  # fmt: skip
        """pools: by host. boot: with the kernel and the initramfs where the hosts have them. families: of guests."""
        assert plan.guest is not None
        self._pair, self._plan, self._guest, self._pools, self._register = pair, plan, plan.guest, pools, register
        self._boot, self._files, self._storage, self._policies = boot, files, storage, policies
        self._python, self.facts, self._live, self.origin = python, facts, live, live.origin
        self._families = families
        first, second = pair.connections
        self.hosts = (first, second)

    @property
    def _mac(self) -> str:
        """An address that another run's guest on the same network hardly has."""
        number = self._register.id.removeprefix("ms")
        return f"52:54:00:{number[:2]}:{number[2:4]}:{number[4:6]}"

    @property
    def folder(self) -> Path:
        return self._register.folder

    @classmethod
    @contextlib.asynccontextmanager
    async def up(
        cls, pair: Pair, plan: HostsPlan, boot: BootImage, image_root: Path, *, storage: Storage,
        policies: Mapping[str, Policy], python: str, wanted: str, live: "Live", families: Sequence[Family] = (FIRST,),
    ) -> AsyncIterator["HostsLab"]:  # fmt: skip
        """What runs of this machine that were killed left there goes first. boot: of this machine, with the addresses
        of guest and origin in its kernel line. image_root: where qemu-img is. storage: what the pool of the plan's name
        is. python: one that has libvirt's module. wanted: an accelerator, or "auto". families: over which guests have
        an address. Problem where the pool is not what the plan says, LibvirtError with libvirt's words."""
        assert plan.guest is not None
        register = Register.create()
        register.uses(image_root, boot.disk)
        machine = machine_tag()
        pools = {host: Pool(connection, plan.guest.pool) for host, connection in pair.connections.items()}
        names = {what: marks.name_of(machine, register.id, what) for what in ("base", "kernel", "initrd")}
        proof = console_of(marks.name_of(machine, register.id, "proof"))
        try:
            await marks.remove(pair, (await marks.find(pair, machine)).left)
            where = Where(None, image_root)
            base = register.folder / "base.qcow2"
            await convert(boot.disk, "raw", base, "qcow2", where)
            local = {"base": base, "kernel": boot.kernel, "initrd": boot.initrd}
            there = await _put(pools, names, local, storage)
            files = GuestFiles(boot.disk, there["base"], where)
            remote = replace(boot, kernel=Path(there["kernel"]), initrd=Path(there["initrd"]))
            facts = {"lab": "libvirt-hosts", "accelerator": "tcg", **pair.versions()}
            lab = cls(pair, plan, pools, register, remote, files, storage, policies, python, facts, live, families)
            folder = await next(iter(pools.values())).folder()
            facts["accelerator"] = await choose(wanted, pair, lab.spec("proof", _PROOF_BYTES, 1, folder))
            yield lab
        finally:
            await asyncio.shield(_take_away(pools, *names.values(), proof))
            remove(register, Cleaned())

    def spec(self, what: str, memory_bytes: int, vcpus: int, pool: str) -> DomainSpec:
        """A domain of this run. pool: the folder of its volume, which has its name, and of its console."""
        machine = machine_tag()
        name = marks.name_of(machine, self._register.id, what)
        return DomainSpec(
            name, self._register.id, memory_bytes, vcpus, self._boot, self.facts["accelerator"], Path(pool) / name,
            self._mac, "", self._guest.link, Path(pool) / console_of(name), shared_file=self._storage != COPIED,
            machine=machine,
        )  # fmt: skip

    async def create(self, name: str, factors: Factors, host: str, folder: Path) -> OurGuest:
        """A fresh guest that boots on `host`; the caller destroys it. Nothing of it is left when this raises."""
        folder.mkdir(exist_ok=True)
        spec = self.spec(folder.name, factors.memory_bytes, factors.vcpus, await self._pools[host].folder())
        wanted = self._policies[factors.policy]
        made = OurGuest(
            self._pair, self._plan, self._pools, spec, wanted, host, self._files, folder, self._python, self._families
        )
        try:
            await made.start(self._live.lease_s)
            if factors.scenario in STREAMED:
                await made.stream(self._live.serve)
        except BaseException:
            await made.destroy()
            raise
        return made


async def _put(
    pools: Mapping[str, Pool], names: Mapping[str, str], local: Mapping[str, Path], storage: Storage
) -> dict[str, str]:
    """Puts files into the pool, and gives their paths on both hosts. Problem where these differ, or the pool is not
    what the plan says."""
    (first, here), (second, there) = pools.items()
    paths = {what: await here.put(names[what], file) for what, file in local.items()}
    shared = names["base"] in await there.names()
    if shared == (storage == COPIED):
        what = "one of each host's own" if storage == COPIED else "shared"
        level, seen = ("shared", "is") if shared else ("copied", "is not")
        raise Problem(
            f"the pool {here.name} is not {what}: what was put into it on {first} {seen} on {second}"
            f'\n  next: axes.storage = ["{level}"] in the plan, or another pool'
        )
    if storage == COPIED:
        others = {what: await there.put(names[what], file) for what, file in local.items()}
        if others != paths:
            raise Problem(
                f"the pool {here.name} is {await here.folder()} on {first} and {await there.folder()} on {second}: "
                "a migration needs the same path on both\n  next: another pool (libvirt.guest.pool)"
            )
    return paths


async def _take_away(pools: Mapping[str, Pool], *names: str) -> None:
    """What a host does not let go the next run, or clean, finds."""
    for pool in pools.values():
        with contextlib.suppress(LibvirtError):
            await pool.remove(*names)
