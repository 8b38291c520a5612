"""The embedded lab: two hosts on this machine with a real QEMU each."""

import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from migrascope.lab.qemu import accelerator, migration, settings
from migrascope.lab.qemu.instance import Instance, Program
from migrascope.lab.qemu.machine import InstanceSpec
from migrascope.lab.qemu.topology import Topology
from migrascope.node.process import Where, run
from migrascope.node.register import Cleaned, Register, remove


class QemuLab:
    """A lab that is up. Use `QemuLab.up` as a context manager; everything goes when it ends."""

    def __init__(
        self, register: Register, topology: Topology, program: Program, image_root: Path, version: str
    ) -> None:
        self.register, self.topology, self.program, self.image_root = register, topology, program, image_root
        self.version = version
        self._defaults: dict[str, Any] = {}

    @classmethod
    @contextlib.asynccontextmanager
    async def up(cls, image_root: Path, kernel: Path, *, wanted: str, program: str | None) -> AsyncIterator["QemuLab"]:
        """Namespaces, links, and the accelerator that a boot has proved.

        image_root: the host image. kernel: what the proof boots. program: another QEMU, a path on this machine.
        ProcessError when none boots.
        """
        register = Register.create()
        try:
            topology = Topology(register)
            topology.create()
            path, root = (program, None) if program else ("qemu-system-x86_64", image_root)
            chosen = await accelerator.choose(wanted, path, root, kernel, register.folder)
            says = await run("QEMU", [path, "--version"], Where(None, root))
            version = re.search(r"version (\S+)", says)
            yield cls(
                register, topology, Program(path, root, chosen), image_root, version[1] if version else says.strip()
            )
        finally:
            remove(register, Cleaned())

    async def create(self, spec: InstanceSpec, host: str, folder: Path) -> Instance:
        """A fresh instance that boots on `host`; the caller destroys it, also when this raises."""
        folder.mkdir(exist_ok=True)
        instance = Instance(spec, host, folder, self.topology, self.image_root)
        try:
            await instance.volume.create()
            await instance.start(self.program, host, incoming=False)
        except BaseException:
            await instance.destroy()
            raise
        return instance

    async def await_instance(self, instance: Instance, destination: str, wanted: settings.Settings) -> dict[str, Any]:
        """Starts the QEMU that waits on the destination, and sets every capability and parameter on both sides.

        Gives what both sides read back, by host.
        """
        await instance.start(self.program, destination, incoming=True)
        if not self._defaults:
            self._defaults = await instance.monitors[destination].execute("query-migrate-parameters")
        applied = {}
        for host in (instance.host, destination):
            applied[host] = await settings.apply(instance.monitors[host], wanted, self._defaults)
        await migration.prepare(instance, destination)
        return applied
