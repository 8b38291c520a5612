"""A guest of ours on hosts of others: a domain with our mark and a volume in their pool, both gone after its trial."""

import asyncio
import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

from migrascope.lab.contract import Requested
from migrascope.lab.hosts.pair import Pair
from migrascope.lab.hosts.policy import request_of
from migrascope.lab.hosts.pool import Pool
from migrascope.lab.hosts.way import LEAVE, own_towards6
from migrascope.lab.libvirt import migration
from migrascope.lab.libvirt.connection import LibvirtError
from migrascope.lab.libvirt.domain import DomainSpec, xml
from migrascope.lab.libvirt.placed import GONE, OFF, SILENT, Placed, active
from migrascope.lab.libvirt.policy import Request
from migrascope.lab.offline import OfflineVolume, examine
from migrascope.lab.qemu.volume import convert
from migrascope.model.address import reachable, reachable6
from migrascope.model.family import FIRST, SECOND, Family
from migrascope.model.hosts import HostsPlan
from migrascope.model.policy import Policy
from migrascope.model.problem import NotThere, Problem
from migrascope.model.schedule import Factors
from migrascope.model.storage import COPIED
from migrascope.node.process import Where, run
from migrascope.node.process_spec import ProcessSpec
from migrascope.node.route import on_our_link
from migrascope.node.wait import WaitTimeout, wait_until

_GONE_S = 60.0
_LOOK_S = 1.0
_LEASED = re.compile(r"^migrascope: address ([0-9.]+)\s*$", re.MULTILINE)
"""What the guest writes on its console when it has an address by DHCP."""
_ADVERTISED = re.compile(r"^migrascope: address6((?: [0-9a-f]{32})+)\s*$", re.MULTILINE)
"""What it writes there of the addresses that it has made of what a router advertises."""
Serve = Callable[[str, Path], AbstractAsyncContextManager[Callable[[], str | None]]]
"""Has the live stream served for the length of a with block, which gives what says why it no longer is. Of the guest's
address, whose alone it is, and a new folder."""


class NoAddress(NotThere):
    """A guest that gets no address where it is, or one to which no way leads; the message says what would help."""


class OurGuest(Placed):
    """An instance as a trial uses it. host: where it runs. address, address6: by the plan; else empty until it has
    booted, and the second always where the plan has IPv4 alone."""

    def __init__(
        self, pair: Pair, plan: HostsPlan, pools: Mapping[str, Pool], spec: DomainSpec, wanted: Policy, host: str,
        files: "GuestFiles", folder: Path, python: str, families: Sequence[Family] = (FIRST,),
    ) -> None:  # fmt: skip
        """pools: by host. files: what it is made of. folder: of its trial. python: one that has libvirt's module.
        families: over which it has an address."""
        super().__init__(pair.connections, spec.uuid)
        assert plan.guest is not None
        self._pair, self._plan, self._pools, self._files = pair, plan, pools, files
        self._folder, self._python = folder, python
        self.spec, self.policy, self.host, self._began = spec, wanted, host, host
        self.address, self.address6 = plan.guest.address.partition("/")[0], plan.guest.own6
        self._dual, self._beside_us = SECOND in families, False
        self._served = AsyncExitStack()
        self._unserved: Callable[[], str | None] = lambda: None

    async def start(self, lease_s: float) -> None:
        """Makes its volume and boots it on its host. LibvirtError with libvirt's words, and QEMU's, when it does not
        begin. Where the plan names no address it is waited for until a DHCP server has given it one, or a router has
        advertised of what it makes one. NoAddress after so many seconds, or where no way leads there."""
        await self._pools[self.host].overlay(self.spec.name, self._files.bytes, self._files.base)
        await self._pair.connections[self.host].call("createXML", xml(self.spec), 0)
        if self._lacks():
            await self._await_addresses(lease_s)
        if self._dual:
            # in a thread: netlink's sockets have an event loop of their own, which runs in no other
            self._beside_us = await asyncio.to_thread(_beside_us, self._own())

    def _own(self) -> list[str]:
        return [self.address, self.address6]

    def _lacks(self) -> str:
        """What it waits for, in words; empty where it has all of its addresses."""
        if not self.address:
            return "the guest has an address by DHCP"
        return "the guest has an IPv6 address of what a router advertises" if self._dual and not self.address6 else ""

    async def _await_addresses(self, limit_s: float) -> None:
        said, made = "", list[str]()

        async def there() -> bool:
            nonlocal said, made
            said = await self.console() or ""
            self.address = self.address or address_in(said)
            if self._dual and not self.address6:
                made = addresses6_in(said)
                self.address6 = next(iter(made), "")
            return not self._lacks()

        try:
            await wait_until(there, limit_s, "the guest has its addresses", _LOOK_S)
        except WaitTimeout as error:
            last = " | ".join(said.strip().splitlines()[-3:])
            raise NoAddress(
                f"not in {limit_s:g} s: {self._lacks()}; serial console: {last or 'empty'}\n  next: {self._remedy()}"
            ) from error
        if made:
            self.address6 = _with_a_way(made)

    def _remedy(self) -> str:
        where = f"on the {' '.join(self.spec.link)} of {self.host}"
        if not self.address:
            return f"a DHCP server {where}, or in the plan libvirt.guest.address, one that nobody else has"
        named = "in the plan libvirt.guest.address6, one that nobody else has"
        return f"a router {where} that advertises a prefix for addresses (SLAAC), or {named}, or {LEAVE}"

    async def stream(self, serve: Serve) -> None:
        """Has the live stream served for it, until it is destroyed."""
        self._unserved = await self._served.enter_async_context(serve(self.address, self._folder / "origin"))

    def problem(self) -> str | None:
        """Why its live stream is no longer served. Nobody here sees its QEMU; that it is gone is seen by what it does
        not answer."""
        return self._unserved()

    async def console(self) -> str | None:
        """What it wrote on its console so far, on each host, as far as their pools give it; None where none does."""
        file, said = self._folder / "console", list[str]()
        for pool in self._pools.values():
            try:
                await pool.get(console_of(self.spec.name), file)
                said.append(file.read_text(errors="replace"))
            except (LibvirtError, OSError):  # it has not been on that host yet
                continue
            finally:
                file.unlink(missing_ok=True)
        return "".join(dict.fromkeys(said)) if said else None

    def pids(self) -> dict[str, int]:
        return {}

    def watchers(self, interval_s: float) -> list[ProcessSpec]:
        """libvirt's events and statistics on both hosts, and QEMU's through it; with both families what this machine's
        neighbour table has for it, too, where it is on the same network."""
        libvirt = self._pair.watcher(self.uuid, self._python, interval_s, monitor=True)
        if not interval_s or not self._beside_us:
            return [libvirt]
        table = {"place": "client", "node": "client", "paths": [""], "addresses": self._own()}
        known = {"tables": [table]}
        return [libvirt, ProcessSpec("neighbours", "migrascope.probe.neighbour_state", "client", None, known)]

    async def prepare(self, destination: str, factors: Factors) -> dict[str, Any]:
        """Sets the downtime limit. Gives what libvirt will be given, and the source's parameters as QEMU has them."""
        await self.call(self.host, "migrateSetMaxDowntime", round(factors.downtime_limit_s * 1000), 0)
        parameters = await self.call(self.host, "qmp", "query-migrate-parameters")
        return {"libvirt": vars(self._request()), self.host: {"parameters": parameters}}

    def _request(self) -> Request:
        return request_of(self.policy, peer_to_peer=self._plan.peer_to_peer, storage=self.spec.storage)

    async def migrate(self, destination: str, limit_s: float, requested: Requested) -> dict[str, Any]:
        """Gives libvirt's statistics of the completed job."""
        return await migration.migrate(self, destination, limit_s, requested)

    async def ask(self, destination: str) -> None:
        """Has it migrated, to the end. LibvirtError with libvirt's words."""
        await self._pair.migrate(self, self.host, destination, self._request(), self._plan)

    async def offline(self) -> OfflineVolume:
        """Ends it as a power cut would, and reads its volume: that of the only host on which it runs, else of the one
        where it was last."""
        running = active(await self.states())
        holder = running[0] if len(running) == 1 else self.host
        await self.end()
        mine, disk, where = self._folder / "offline.qcow2", self._folder / "offline.raw", self._files.where
        try:
            await self._pools[holder].get(self.spec.name, mine)
            if self.spec.storage != COPIED or holder == self._began:  # a copy is whole, and lies over nothing
                below = ["-b", str(self._files.disk), "-F", "raw"]
                await run("qemu-img", ["qemu-img", "rebase", "-q", "-u", "-f", "qcow2", *below, str(mine)], where)
            await convert(mine, "qcow2", disk, "raw", where)
            return await examine(disk, where, self._folder)
        finally:
            for path in (mine, disk):
                path.unlink(missing_ok=True)

    async def end(self) -> None:
        """Ends it on both hosts as a power cut would. WaitTimeout where one does not let it go."""
        await self.destroy_all(self.spec.name, (GONE, OFF), _GONE_S, 0.2)

    async def destroy(self) -> None:
        """Ends everything of it. What a host does not let go the next run, or clean, finds."""
        await asyncio.shield(self._destroy())

    async def _destroy(self) -> None:
        await self._served.aclose()
        with contextlib.suppress(Problem):
            if SILENT not in (await self.states()).values():
                await self.end()
        for pool in self._pools.values():
            with contextlib.suppress(LibvirtError):
                await pool.remove(self.spec.name, console_of(self.spec.name))


def address_in(console: str) -> str:
    """The address that a guest has by DHCP, by the last line of its console that says so; empty where none does."""
    for text in reversed(_LEASED.findall(console)):
        with contextlib.suppress(ValueError):
            return reachable(text)
    return ""


def addresses6_in(console: str) -> list[str]:
    """The addresses that a guest has made of what a router advertises, by the last line of its console that says so."""
    found = list[str]()
    for text in (_ADVERTISED.findall(console) or [""])[-1].split():
        with contextlib.suppress(ValueError):
            found.append(reachable6(str(IPv6Address(bytes.fromhex(text)))))
    return found


def _beside_us(addresses: Sequence[str]) -> bool:
    """Whether this machine is on the network of one of them."""
    with contextlib.suppress(OSError):  # it has no way there, and nobody will measure anything
        return any(map(on_our_link, addresses))
    return False


def _with_a_way(addresses: Sequence[str]) -> str:
    """The first of a guest's addresses to which this machine knows a way. NoAddress where it knows one to none."""
    refused: Problem | None = None
    for address in addresses:
        try:
            own_towards6(address)
        except Problem as error:
            refused = refused or error
        else:
            return address
    raise NoAddress(str(refused)) from refused


def console_of(name: str) -> str:
    """The file in its pool to which a domain's console goes, so that it can be read from here."""
    return f"{name}.console"


class GuestFiles:
    """What guests of a run are made of. disk: the raw image here, of so many bytes. base: its path on both hosts.
    where: a root with qemu-img and e2fsprogs."""

    def __init__(self, disk: Path, base: str, where: Where) -> None:
        self.disk, self.base, self.where = disk, base, where
        self.bytes = disk.stat().st_size
