"""An instance: its volume, a QEMU on the host where it runs, and one on the other that waits for it."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from migrascope.lab.contract import panic_in
from migrascope.lab.offline import OfflineVolume, examine
from migrascope.lab.qemu.local_volume import LocalVolume
from migrascope.lab.qemu.machine import InstanceSpec, Program, arguments
from migrascope.lab.qemu.monitor import Monitor, MonitorError
from migrascope.lab.qemu.storage_copy import StorageCopy
from migrascope.lab.qemu.topology import Topology
from migrascope.lab.qemu.volume import Stored, Volume
from migrascope.model.schedule import HOSTS
from migrascope.model.storage import SHARED
from migrascope.node.process import Process, ProcessError, Where, start
from migrascope.node.wait import wait_until


class Instance:
    """An instance of the QEMU lab. `host` is where it runs; held: its switchover waits, if it is one that can;
    steps: what an operator has done about it; copy: that of its volume, once it is to be migrated, where the hosts
    share none."""

    def __init__(self, spec: InstanceSpec, host: str, folder: Path, topology: Topology, image_root: Path) -> None:
        self.spec, self.host, self.folder, self.topology = spec, host, folder, topology
        self.volume: Stored
        if spec.storage == SHARED:
            self.volume = Volume(spec.name, spec.image.disk, folder, image_root, topology.nodes["storage"])
        else:
            files = {name: folder / f"{spec.name}.{name}.qcow2" for name in HOSTS}
            self.volume = LocalVolume(spec.image.disk, files, host, image_root)
        self.copy: StorageCopy | None = None
        self._image_root = image_root
        self.processes: dict[str, Process] = {}
        self.monitors: dict[str, Monitor] = {}
        self.held = False
        self.steps: list[str] = []
        self._taps: list[str] = []

    async def start(self, program: Program, host: str, *, incoming: bool) -> None:
        """Starts a QEMU on a host, with its tap and our monitor. ProcessError with QEMU's words when it fails."""
        self.topology.add_tap(host, self.spec.tap)
        self._taps.append(host)
        argv = arguments(program, self.spec, self.volume, self.folder, host, incoming=incoming)
        where = Where(self.topology.nodes[host], program.root)
        process = await start(f"QEMU on {host}", argv, where, self.folder / f"{host}.log")
        self.processes[host] = process
        socket = self.folder / f"{host}.control"

        async def connected() -> bool:
            if process.ended:
                raise ProcessError(process.problem())
            monitor = Monitor(host)
            try:
                await monitor.connect(socket)
            except MonitorError:
                return False
            self.monitors[host] = monitor
            return True

        await wait_until(connected, 10, f"QEMU on {host} opens its monitor")

    def probe_sockets(self) -> dict[str, str]:
        """The second monitor of each QEMU, for the QMP probe."""
        return {host: str(self.folder / f"{host}.probe") for host in self.processes}

    def pids(self) -> dict[str, int]:
        return {f"qemu-{host}": process.pid for host, process in self.processes.items() if not process.ended}

    def problem(self) -> str | None:
        """Why the QEMU in which it runs, or its kernel, does not go on, or None."""
        process = self.processes[self.host]
        return process.problem() if process.ended else panic_in(self._serial())

    def dead(self) -> str | None:
        """Why one of its QEMUs does not go on, or None."""
        return next((process.problem() for process in self.processes.values() if process.ended), None)

    async def console(self) -> str:
        """What it wrote on its console so far."""
        return self._serial()

    def _serial(self) -> str:
        """What the guest wrote on its serial console, under both QEMUs."""
        texts = [self.folder / f"{host}.serial" for host in self.processes]
        return "\n".join(path.read_text(errors="replace") for path in texts if path.exists())

    async def state(self, host: str) -> dict[str, Any]:
        """query-status of the QEMU on a host."""
        answer: dict[str, Any] = await self.monitors[host].execute("query-status")
        return answer

    async def _end(self) -> None:
        """Ends its QEMUs. Fresh instances have no history, so there is nothing to shut down gently."""
        for monitor in self.monitors.values():
            await monitor.close()
        await asyncio.gather(*(process.kill() for process in self.processes.values()))

    async def restart(self, program: Program) -> None:
        """Ends both QEMUs and boots it again from its volume, on the host where it was."""
        await self._end()
        for host in self._taps:
            self.topology.remove_tap(host, self.spec.tap)
        self._taps, self.processes, self.monitors = [], {}, {}
        await self.start(program, self.host, incoming=False)

    async def _holder(self) -> str:
        """The host whose volume is the instance's: the only one on which it runs; else where it was last."""
        running = []
        for host, process in self.processes.items():
            with contextlib.suppress(MonitorError):
                if not process.ended and (await self.state(host))["running"]:
                    running.append(host)
        return running[0] if len(running) == 1 else self.host

    async def offline(self) -> OfflineVolume:
        """Ends it as a power cut would, and reads its volume."""
        holder = await self._holder()
        await self._end()
        disk = self.folder / "offline.raw"
        try:
            await self.volume.raw(disk, holder)
            return await examine(disk, Where(None, self._image_root), self.folder)
        finally:
            disk.unlink(missing_ok=True)

    async def destroy(self) -> None:
        """Ends everything of it."""
        await self._end()
        await self.volume.destroy()
        for host in self._taps:
            with contextlib.suppress(LookupError):
                self.topology.remove_tap(host, self.spec.tap)
        for path in self.folder.glob("host-*.*"):
            if path.suffix in (".control", ".probe"):
                path.unlink(missing_ok=True)
