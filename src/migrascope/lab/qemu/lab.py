"""The embedded lab: two hosts on this machine with a real QEMU each."""

import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from migrascope.lab import accelerator, sampling
from migrascope.lab.boot_image import BootImage
from migrascope.lab.contract import Requested
from migrascope.lab.disturbable import Rescue, See
from migrascope.lab.qemu import disturbing, migration, policy_probe, settings, tls
from migrascope.lab.qemu.handover import CAPABILITIES, Handover
from migrascope.lab.qemu.instance import Instance
from migrascope.lab.qemu.machine import InstanceSpec, Program
from migrascope.lab.qemu.monitor import MonitorError
from migrascope.lab.qemu.recovery import Recovery
from migrascope.lab.qemu.rescue import rescue
from migrascope.lab.qemu.storage_copy import StorageCopy
from migrascope.lab.qemu.topology import INSTANCE_ADDRESS, INSTANCE_ADDRESS_6, Topology
from migrascope.lab.qemu.topology_lab import TopologyLab
from migrascope.lab.steering import Steering
from migrascope.model.disturbance import Disturbance
from migrascope.model.family import FIRST, Family
from migrascope.model.kinds.kind import Injector
from migrascope.model.policy import BUILT_IN, Policy
from migrascope.model.postcheck import PostCheck
from migrascope.model.problem import Problem
from migrascope.model.schedule import HOSTS, Factors
from migrascope.model.storage import COPIED
from migrascope.node.process import Where, run
from migrascope.node.process_spec import ProcessSpec
from migrascope.node.register import Register
from migrascope.node.takedown import Cleaned, remove

_PLAIN = {"pre-copy": BUILT_IN["pre-copy"]}


class QemuInstance(Instance):
    """An instance as a trial uses it."""

    address, address6 = INSTANCE_ADDRESS, INSTANCE_ADDRESS_6

    def __init__(self, lab: "QemuLab", spec: InstanceSpec, host: str, folder: Path) -> None:
        super().__init__(spec, host, folder, lab.topology, lab.image_root)
        self._lab = lab
        self._recovery: Recovery | None = None
        self._steering: Steering | None = None
        self._downtime_limit_s = 0.0

    def watchers(self, interval_s: float) -> list[ProcessSpec]:
        """QEMU's events and status, the links' counters, and the instance's frames by host."""
        topology = self._lab.topology
        config = {"hosts": self.probe_sockets(), "interval_s": interval_s}
        qmp = ProcessSpec("qmp", "migrascope.probe.qmp", "fabric", topology.fabric, config)
        return [qmp, *topology.watchers(self.spec.mac, interval_s, self.spec.storage)]

    async def prepare(self, destination: str, factors: Factors) -> dict[str, Any]:
        """Starts the QEMU that waits on the destination, and sets every capability and parameter on both sides.

        Gives what both sides read back, by host, and the links' rates (bit/s).
        """
        await self.volume.make_ready(destination)
        await self.start(self._lab.program, destination, incoming=True)
        untouched = await self.monitors[destination].execute("query-migrate-parameters")
        if self.spec.policy.tls:
            for host in (self.host, destination):
                await tls.show(self.monitors[host], self._lab.folder, server=host == destination)
        self._downtime_limit_s = factors.downtime_limit_s
        copied = self.spec.storage == COPIED
        wanted = settings.settings_of(self.spec.policy, factors.downtime_limit_s, waits=copied)
        applied: dict[str, Any] = {}
        for host, side in ((self.host, "source"), (destination, "destination")):
            on = wanted.capabilities | ({CAPABILITIES[side]} if self.spec.managed else set())
            applied[host] = await settings.apply(self.monitors[host], replace(wanted, capabilities=on), untouched)
        await migration.prepare(self, destination)
        if copied:
            source, to = self.monitors[self.host], self.topology.stream_address(destination)
            self.copy = StorageCopy(source, self.monitors[destination], to, round(self.spec.policy.bandwidth / 8))
            await self.copy.offer()
        return applied | {"links": {name: link.rate_bps for name, link in self._lab.topology.links.items()}}

    async def dirtied(self, period_s: float, pages: int) -> dict[str, Any]:
        """QEMU's own answer."""
        return await sampling.dirtied(self.monitors[self.host].execute, period_s, pages)

    def filled(self, pages: int) -> int:
        """By what is in the memory of its process."""
        return sampling.filled(self.processes[self.host].pid, self.spec.memory_bytes, pages)

    def steer(self, steering: Steering) -> None:
        """By our monitor of the source."""
        self._steering = steering

    async def migrate(self, destination: str, limit_s: float, requested: Requested) -> dict[str, Any]:
        """Gives the source's final query-migrate."""
        policy = self.spec.policy
        if policy.post_copy is not None and policy.post_copy.recover:
            self._recovery = Recovery(self, destination, self._lab.topology.nodes[self.host])
        handover = Handover(self, destination) if self.spec.managed else None
        try:
            async with handover.words() if handover else contextlib.nullcontext():
                return await migration.migrate(
                    self, destination, policy, limit_s, self._downtime_limit_s, requested, self._recovery,
                    self._steering, handover,
                )  # fmt: skip
        except Problem:
            if self.copy is not None:
                await self.copy.drop()
            raise

    async def rescue(self, answers: Callable[[], Awaitable[bool]]) -> Rescue:
        """Does what an operator would until the service answers."""
        if self._recovery is not None:
            await self._recovery.finish()
        return await rescue(self, self._lab.program, answers)

    def listen(self, see: See) -> None:
        """Tells every event of the source's QEMU from now on."""
        self.monitors[self.host].listen(see)

    def injector(self, disturbance: Disturbance, destination: str) -> Injector:
        """What brings a disturbance about."""
        return disturbing.injector(disturbance, self, self._lab.topology, destination)

    async def place(self, destination: str) -> PostCheck:
        """What both QEMUs say of themselves; one that has ended runs nothing."""
        try:
            states = {
                host: "ended" if self.processes[host].ended else (await self.state(host))["status"]
                for host in self.monitors
            }
        except MonitorError as error:
            return PostCheck("unknown", str(error))
        words = ", ".join(f"{host}: {status}" for host, status in states.items())
        here = [host for host, status in states.items() if status == "running"] == [destination]
        return PostCheck("pass" if here else "fail", words)


class QemuLab(TopologyLab):
    """A lab that is up. Use `QemuLab.up` as a context manager; everything goes when it ends."""

    def __init__(
        self, register: Register, topology: Topology, program: Program, image_root: Path, boot: BootImage,
        policies: Mapping[str, Policy], version: str,
    ) -> None:  # fmt: skip
        super().__init__(register, topology)
        self.program, self.image_root, self._boot, self._policies = program, image_root, boot, policies
        self.facts: dict[str, Any] = {"lab": "qemu", "accelerator": program.accelerator, "qemu": version}

    @classmethod
    @contextlib.asynccontextmanager
    async def up(
        cls, image_root: Path, boot: BootImage, *, wanted: str, program: str | None,
        policies: Mapping[str, Policy] = _PLAIN, families: Sequence[Family] = (FIRST,), stream: Family = FIRST,
    ) -> AsyncIterator["QemuLab"]:  # fmt: skip
        """Namespaces, links, and the accelerator that a boot has proved.

        image_root: the host image. boot: what instances boot, and the proof. program: another QEMU, a path on this
        machine. policies: those of the trials to come. families: of addresses; stream: of those between which memory
        goes. ProcessError when none boots, PolicyRefused where this QEMU cannot carry out a policy.
        """
        register = Register.create()
        register.uses(image_root, boot.disk)
        try:
            topology = Topology(register, families, stream)
            topology.create()
            path, root = (program, None) if program else ("qemu-system-x86_64", image_root)
            chosen = await accelerator.choose(wanted, path, root, boot.kernel, register.folder)
            says = await run("QEMU", [path, "--version"], Where(None, root))
            version = re.search(r"version (\S+)", says)
            if any(policy.tls for policy in policies.values()):
                await tls.make(register.folder, [topology.stream_address(host) for host in HOSTS])
            await policy_probe.need(policies, Program(path, root, chosen), register.folder)
            yield cls(
                register, topology, Program(path, root, chosen), image_root, boot, policies,
                version[1] if version else says.strip(),
            )  # fmt: skip
        finally:
            remove(register, Cleaned())

    async def create(self, name: str, factors: Factors, host: str, folder: Path) -> QemuInstance:
        """A fresh instance that boots on `host`, with the migration link at the trial's rate (0: as fast as it is);
        the caller destroys it, also when this raises."""
        self.make_way(factors, folder)
        policy = self._policies[factors.policy]
        managed = factors.handover == "managed"
        spec = InstanceSpec(name, factors.memory_bytes, factors.vcpus, self._boot, policy, factors.storage, managed)
        instance = QemuInstance(self, spec, host, folder)
        try:
            await instance.volume.create()
            await instance.start(self.program, host, incoming=False)
        except BaseException:
            await instance.destroy()
            raise
        return instance
