"""The lab: the hosts, storage and links of the QEMU lab, and on each host a libvirt that runs and migrates."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from migrascope.lab import accelerator
from migrascope.lab.boot_image import BootImage
from migrascope.lab.libvirt.connection import version_text
from migrascope.lab.libvirt.domain import DomainSpec
from migrascope.lab.libvirt.host import IMAGES, Host
from migrascope.lab.libvirt.instance import LibvirtInstance
from migrascope.lab.qemu import tls
from migrascope.lab.qemu.topology import BRIDGE, Topology, address
from migrascope.lab.qemu.topology_lab import TopologyLab
from migrascope.lab.qemu.volume import EXPORT_PORT
from migrascope.model.family import FIRST, Family
from migrascope.model.policy import Policy
from migrascope.model.schedule import HOSTS, Factors
from migrascope.model.storage import COPIED
from migrascope.node.register import Register
from migrascope.node.takedown import Cleaned, remove

_MAC, _TAP = "52:54:00:6d:73:01", "vm-1"


class LibvirtLab(TopologyLab):
    """A lab that is up. Use `LibvirtLab.up` as a context manager; everything goes when it ends."""

    def __init__(
        self, register: Register, topology: Topology, hosts: Mapping[str, Host], image_root: Path, boot: BootImage,
        chosen: str, policies: Mapping[str, Policy],
    ) -> None:  # fmt: skip
        super().__init__(register, topology)
        self._hosts, self._image_root, self._boot = hosts, image_root, boot
        self._accelerator, self._policies = chosen, policies
        versions = {name: version_text(number) for name, number in hosts[HOSTS[0]].connection.versions.items()}
        self.facts: dict[str, Any] = {"lab": "libvirt", "accelerator": chosen, **versions}

    @classmethod
    @contextlib.asynccontextmanager
    async def up(
        cls, libvirt_root: Path, image_root: Path, boot: BootImage, *, wanted: str, policies: Mapping[str, Policy],
        families: Sequence[Family] = (FIRST,), stream: Family = FIRST,
    ) -> AsyncIterator["LibvirtLab"]:  # fmt: skip
        """Namespaces, links, the accelerator that a boot has proved, and both libvirts.

        libvirt_root: the hosts' root image. image_root: that of the storage. boot: what instances boot, and the proof.
        policies: those of the trials to come. families: of addresses; stream: of those between which memory goes.
        ProcessError or LibvirtError where something does not come up.
        """
        register = Register.create()
        register.uses(libvirt_root, image_root, boot.disk)
        hosts: dict[str, Host] = {}
        try:
            topology = Topology(register, families, stream)
            topology.create()
            chosen = await accelerator.choose(wanted, "qemu-system-x86_64", libvirt_root, boot.kernel, register.folder)
            certificates = None
            if any(policy.tls for policy in policies.values()):
                await tls.make(register.folder, [topology.stream_address(name) for name in HOSTS])
                certificates = register.folder / tls.FOLDER
            for name in HOSTS:
                hosts[name] = Host(
                    name, topology.nodes[name], libvirt_root, register.folder / name, certificates,
                    kvm=chosen == "kvm",
                )  # fmt: skip
            await asyncio.gather(*(host.up() for host in hosts.values()))
            yield cls(register, topology, hosts, image_root, boot, chosen, policies)
        finally:
            try:
                await asyncio.gather(*(host.down() for host in hosts.values()))
            finally:
                remove(register, Cleaned())

    async def create(self, name: str, factors: Factors, host: str, folder: Path) -> LibvirtInstance:
        """A fresh instance that boots on `host`, with the migration link at the trial's rate (0: as fast as it is);
        the caller destroys it. Nothing of it is left when this raises."""
        self.make_way(factors, folder)
        copied = factors.storage == COPIED
        volume = IMAGES / f"{name}.qcow2" if copied else (address("storage", "storage"), EXPORT_PORT)
        spec = DomainSpec(
            name, self.register.id, factors.memory_bytes, factors.vcpus, self._boot, self._accelerator, volume,
            _MAC, _TAP, ("bridge", BRIDGE), folder / f"{name}.serial",
        )  # fmt: skip
        wanted = self._policies[factors.policy]
        instance = LibvirtInstance(spec, wanted, host, folder, self._hosts, self.topology, self._image_root)
        try:
            await instance.volume.create()
            await instance.start()
        except BaseException:
            await instance.destroy()
            raise
        return instance
