"""An instance: a domain on one of the hosts, with its volume on the storage that both reach."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path, PurePath
from typing import Any

from migrascope.lab import sampling
from migrascope.lab.contract import Requested, panic_in
from migrascope.lab.disturbable import Rescue, See
from migrascope.lab.libvirt import disturbing, migration, policy
from migrascope.lab.libvirt.disk import give_back
from migrascope.lab.libvirt.domain import DomainSpec, xml
from migrascope.lab.libvirt.events import EventWatch
from migrascope.lab.libvirt.host import Host
from migrascope.lab.libvirt.placed import GONE, SILENT, Placed
from migrascope.lab.libvirt.rescue import rescue
from migrascope.lab.offline import OfflineVolume, examine
from migrascope.lab.qemu.local_volume import LocalVolume
from migrascope.lab.qemu.topology import INSTANCE_ADDRESS, INSTANCE_ADDRESS_6, Topology
from migrascope.lab.qemu.volume import Stored, Volume
from migrascope.lab.steering import Steering
from migrascope.model.disturbance import Disturbance
from migrascope.model.kinds.kind import Injector
from migrascope.model.policy import Policy
from migrascope.model.problem import Problem
from migrascope.model.schedule import Factors
from migrascope.node.process import Where
from migrascope.node.process_spec import ProcessSpec

_GONE_S = 10.0


class LibvirtInstance(Placed):
    """An instance as a trial uses it. host: where it runs; moving: a migration of it goes on."""

    address, address6 = INSTANCE_ADDRESS, INSTANCE_ADDRESS_6

    def __init__(
        self, spec: DomainSpec, wanted: Policy, host: str, folder: Path, hosts: Mapping[str, Host], topology: Topology,
        root: Path,
    ) -> None:  # fmt: skip
        """folder: of its trial. hosts: by their names. root: the root image in which its volume is served and read."""
        self.spec, self.policy, self.host, self.folder = spec, wanted, host, folder
        self.hosts, self.topology, self._root = hosts, topology, root
        super().__init__({name: host.connection for name, host in hosts.items()}, spec.uuid)
        self.volume: Stored
        if isinstance(spec.volume, PurePath):
            files = {name: there.image(spec.volume.name) for name, there in hosts.items()}
            self.volume = LocalVolume(spec.image.disk, files, host, root)
        else:
            self.volume = Volume(spec.name, spec.image.disk, folder, root, topology.nodes["storage"])
        self._watch: EventWatch | None = None
        self._steering: Steering | None = None
        self.moving = False

    async def start(self) -> None:
        """Boots it on its host. LibvirtError with libvirt's words, and QEMU's, when it does not begin."""
        await self.hosts[self.host].connection.call("createXML", xml(self.spec), 0)

    async def ask(self, destination: str) -> None:
        """Has it migrated: peer to peer. LibvirtError with libvirt's words."""
        arguments = migration.arguments(self, destination)
        await self.call(self.host, "migrateToURI3", *arguments, timeout_s=None)

    def problem(self) -> str | None:
        """Why its QEMU, or its kernel, does not go on; None while it moves, for then there is another each moment."""
        if not self.moving and self.hosts[self.host].qemu(self.spec.name) is None:
            words = self.hosts[self.host].words(self.spec.name)
            return f"the QEMU of {self.spec.name} on {self.host} has ended: {words}"
        return panic_in(self._console())

    async def console(self) -> str:
        """What it wrote on its console so far, on both hosts."""
        return self._console()

    def _console(self) -> str:
        serial = self.spec.serial
        return serial.read_text(errors="replace") if serial.exists() else ""

    def pids(self) -> dict[str, int]:
        """Its QEMUs that run now; the destination's begins with the migration."""
        found = {f"qemu-{name}": host.qemu(self.spec.name) for name, host in self.hosts.items()}
        return {name: pid for name, pid in found.items() if pid is not None}

    def watchers(self, interval_s: float) -> list[ProcessSpec]:
        """libvirt's events and statistics and QEMU's through it, its phases, the links' counters, and its frames by
        host."""
        hosts = {name: {"uri": "qemu:///system", "python": host.python} for name, host in self.hosts.items()}
        config = {"hosts": hosts, "domain": self.spec.uuid, "interval_s": interval_s, "persist": True}
        probe = ProcessSpec("libvirt", "migrascope.probe.libvirt", "fabric", None, config)
        logs = {"logs": {name: str(host.phases) for name, host in self.hosts.items()}}
        phases = ProcessSpec("libvirt_log", "migrascope.probe.libvirt_log", "fabric", None, logs)
        return [probe, phases, *self.topology.watchers(self.spec.mac, interval_s, self.spec.storage)]

    async def prepare(self, destination: str, factors: Factors) -> dict[str, Any]:
        """Sets the downtime limit on the source, which libvirt leaves as it is. The destination's QEMU is begun by
        libvirt when it is asked to migrate, and all else is set then; an empty file for a volume that is copied has to
        be there before.

        Gives what the call will be given, the source's parameters as QEMU reads them back, and the links' rates.
        """
        source = self.host
        await self.volume.make_ready(destination)
        await self.call(source, "migrateSetMaxDowntime", round(factors.downtime_limit_s * 1000), 0)
        parameters = await self.call(source, "qmp", "query-migrate-parameters")
        links = {name: link.rate_bps for name, link in self.topology.links.items()}
        return {
            "libvirt": vars(policy.request_of(self.policy, self.spec.storage)),
            source: {"parameters": parameters},
            "links": links,
        }

    async def dirtied(self, period_s: float, pages: int) -> dict[str, Any]:
        """QEMU's own answer, through libvirt, whose own call knows neither parts of a second nor how many pages."""
        return await sampling.dirtied(partial(self.call, self.host, "qmp"), period_s, pages)

    def filled(self, pages: int) -> int:
        """By what is in the memory of its process."""
        pid = self.hosts[self.host].qemu(self.spec.name)
        if pid is None:
            raise Problem(f"no QEMU of {self.spec.name} runs on {self.host}")
        return sampling.filled(pid, self.spec.memory_bytes, pages)

    async def migrate(self, destination: str, limit_s: float, requested: Requested) -> dict[str, Any]:
        """Gives libvirt's statistics of the completed job, as the destination has them."""
        if self._watch is not None:
            await self._watch.ready()
        self.moving = True
        try:
            return await migration.migrate(self, destination, limit_s, requested, self._steering)
        finally:
            self.moving = False

    def steer(self, steering: Steering) -> None:
        """By calls of the source's libvirt, as Nova and oVirt do."""
        self._steering = steering

    def listen(self, see: See) -> None:
        """Tells every event of the source's QEMU from now on, as libvirt passes them on."""
        self._watch = EventWatch(self.hosts[self.host].python, "qemu:///system", self.spec.uuid, see)
        self._watch.start()

    def injector(self, disturbance: Disturbance, destination: str) -> Injector:
        """What brings a disturbance about."""
        return disturbing.injector(disturbance, self, destination)

    async def rescue(self, answers: Callable[[], Awaitable[bool]]) -> Rescue:
        """Does what an operator would until the service answers."""
        return await rescue(self, answers)

    async def end(self) -> None:
        """Ends it on both hosts as a power cut would. What libvirt does not let go ends with the lab."""
        for host in self.hosts.values():
            pid = host.qemu(self.spec.name)
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        await self.destroy_all(self.spec.name, (GONE, SILENT), _GONE_S, 0.05)

    async def offline(self) -> OfflineVolume:
        """Ends it as a power cut would, and reads its volume: that of the only host on which it runs, else of the one
        where it was last."""
        running = [host for host, state in (await self.states()).items() if state == "running"]
        holder = running[0] if len(running) == 1 else self.host
        await self.end()
        disk = self.folder / "offline.raw"
        try:
            await self.volume.raw(disk, holder)
            return await examine(disk, Where(None, self._root), self.folder)
        finally:
            disk.unlink(missing_ok=True)

    async def destroy(self) -> None:
        """Ends everything of it."""
        if self._watch is not None:
            await self._watch.close()
        try:
            await self.end()
        finally:
            await asyncio.shield(self._clear())

    async def _clear(self) -> None:
        await self.volume.destroy()
        for host in self.hosts.values():
            await give_back(host)
