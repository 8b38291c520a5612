"""What disturbances are brought about with on the libvirt lab."""

from functools import partial
from typing import TYPE_CHECKING

from migrascope.lab.injectors.qemu_process import QemuSignal
from migrascope.lab.libvirt import migration
from migrascope.lab.libvirt.connection import LibvirtError
from migrascope.lab.libvirt.disk import DiskFull
from migrascope.lab.libvirt.host import Host
from migrascope.lab.libvirt.outage import HostOff, LibvirtDies, LibvirtHangs
from migrascope.lab.qemu.disturbing import HostTools
from migrascope.model.disturbance import Disturbance
from migrascope.model.kinds.kind import Injector

if TYPE_CHECKING:
    from migrascope.lab.libvirt.instance import LibvirtInstance


def injector(disturbance: Disturbance, instance: "LibvirtInstance", destination: str) -> Injector:
    """What brings a disturbance about for an instance that is to move to `destination`."""
    return disturbance.made.injector(disturbance, LibvirtTools(disturbance, instance, destination))


class LibvirtTools(HostTools):
    """What the libvirt lab brings a disturbance about with: that of its topology, its QEMUs and libvirt's calls."""

    def __init__(self, disturbance: Disturbance, instance: "LibvirtInstance", destination: str) -> None:
        hosts = (instance.host, destination)
        super().__init__(disturbance, "libvirt", instance.topology, hosts, instance.volume, instance.folder)
        self._instance, self._destination = instance, destination

    def kill_qemu(self, side: str) -> Injector:
        return QemuSignal(partial(self._qemu, side), freeze=False)

    def freeze_qemu(self, side: str) -> Injector:
        return QemuSignal(partial(self._qemu, side), freeze=True)

    def fill_host(self, side: str) -> Injector:
        return DiskFull(self._host(side))

    def abort_migration(self) -> Injector:
        return Abort(self._instance)

    def migrate_again(self) -> Injector:
        return SecondMigration(self._instance, self._destination)

    def kill_service(self, node: str, service: str, *, stay: bool) -> Injector:
        return LibvirtDies(self._host(node), stay=stay)

    def freeze_service(self, node: str, service: str) -> Injector:
        return LibvirtHangs(self._host(node))

    def power_off(self, side: str) -> Injector:
        return HostOff(self._host(side), self._topology.lab_links)

    def _host(self, side: str) -> Host:
        return self._instance.hosts[self._hosts[side]]

    def _qemu(self, side: str) -> int:
        host = self._hosts[side]
        pid = self._instance.hosts[host].qemu(self._instance.spec.name)
        if pid is None:
            raise ProcessLookupError(f"no QEMU of the instance runs on {host}")
        return pid


class Abort:
    """virDomainAbortJob on the source, as virsh domjobabort does."""

    def __init__(self, instance: "LibvirtInstance") -> None:
        self._instance, self._source = instance, instance.host

    async def arm(self) -> None:
        return

    async def apply(self) -> str:
        await self._instance.call(self._source, "abortJob")
        return ""

    async def heal(self) -> None:
        return


class SecondMigration:
    """The same migration asked for again; that libvirt refuses it is the answer, not a failure."""

    def __init__(self, instance: "LibvirtInstance", destination: str) -> None:
        self._instance, self._source, self._destination = instance, instance.host, destination

    async def arm(self) -> None:
        return

    async def apply(self) -> str:
        arguments = migration.arguments(self._instance, self._destination)
        try:
            await self._instance.call(self._source, "migrateToURI3", *arguments, timeout_s=None)
        except LibvirtError as error:
            return f"refused: {error}"
        return "libvirt took it"

    async def heal(self) -> None:
        return
