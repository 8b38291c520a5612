"""A host of the lab: libvirt's daemon in a namespace, on a root image, with state of its own."""

import uuid
from pathlib import Path, PurePath

from migrascope.lab.libvirt.connection import Connection
from migrascope.lab.qemu.topology import address
from migrascope.node.container import inside
from migrascope.node.namespace import Namespace
from migrascope.node.process import Process, ProcessError, Where, start, tail
from migrascope.node.wait import wait_until

PORT = 16509
_READY_S = 30.0
_FOLDERS = {
    "etc": "/etc/libvirt",
    "run": "/run/libvirt",
    "state": "/var/lib/libvirt",
    "cache": "/var/cache/libvirt",
    "log": "/var/log/libvirt",
}
"""What libvirt writes: folders of a host's own, and where they are in its root."""
IMAGES = PurePath(_FOLDERS["state"], "images")
"""Where a host has the files of its volumes."""
# /sys of this machine shows its own network; libvirt looks there for the bridges of the host.
_BEGIN = """
hostname "$0" && umount -R /sys && mount -t sysfs sysfs /sys &&
exec libvirtd --listen --pid-file=/run/libvirt/libvirtd.pid
"""
# A host is a namespace of this machine: nothing confines a QEMU there but that; cgroups and /dev are this machine's.
_QEMU = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = []
namespaces = []
hugetlbfs_mount = []
stdio_handler = "file"
"""


_LOG = "/var/log/libvirt/phases.log"
_LOGGED = """\
log_filters = "4:qemu.qemu_migration_cookie 4:qemu.qemu_migration_params 1:qemu.qemu_migration 1:qemu.qemu_domainjob"
log_outputs = "1:file:%s 3:stderr"
"""
"""What libvirt writes of its phases, and little else: some 30 lines a migration. The first filter that matches counts,
and each matches all sources that begin so."""


class Host:
    """One host. folder: its own, where what libvirt writes lies, and its logs."""

    def __init__(self, name: str, namespace: Namespace, root: Path, folder: Path) -> None:
        self.name, self._folder = name, folder
        self._where = Where(namespace, root, laid=tuple((folder / part, at) for part, at in _FOLDERS.items()))
        self._process: Process | None = None
        self.connection = Connection(name)

    async def up(self) -> None:
        """Starts libvirt and connects to it. ProcessError or LibvirtError with its words when it does not come up."""
        for part in _FOLDERS:
            (self._folder / part).mkdir(parents=True, exist_ok=True)
        (self._folder / "etc/libvirtd.conf").write_text(self._settings(), encoding="utf-8")
        (self._folder / "etc/qemu.conf").write_text(_QEMU, encoding="utf-8")
        argv = ["unshare", "--uts", "sh", "-c", _BEGIN, self.name]
        process = await start(f"libvirt on {self.name}", argv, self._where, self._folder / "libvirtd.log")
        self._process = process

        async def listens() -> bool:
            if process.ended:
                raise ProcessError(process.problem())
            return (self._folder / "run/libvirt-sock").exists()

        await wait_until(listens, _READY_S, f"libvirt on {self.name} listens", 0.02)
        await self.connection.open(self.python)

    def _settings(self) -> str:
        """It listens on the management link only, which the lab's own nodes alone are on."""
        return (
            f'host_uuid = "{uuid.uuid4()}"\nlisten_tls = 0\nlisten_tcp = 1\nauth_tcp = "none"\n'
            f'listen_addr = "{address(self.name, "management")}"\ntcp_port = "{PORT}"\n'
            'auth_unix_rw = "none"\nauth_unix_ro = "none"\n'
        ) + _LOGGED % _LOG

    @property
    def uri(self) -> str:
        """By which the other host's libvirt reaches this one."""
        return f"qemu+tcp://{address(self.name, 'management')}:{PORT}/system"

    @property
    def phases(self) -> Path:
        """The log in which it names the phases of migrations."""
        return self._folder / "log" / Path(_LOG).name

    @property
    def python(self) -> list[str]:
        """The command of a Python in the host that has libvirt's module."""
        assert self._process is not None
        return inside(self._process.pid, ["setpriv", "--pdeathsig", "KILL", "python3"])

    def qemu(self, name: str) -> int | None:
        """The number on this machine of the QEMU that runs a domain; None where none does."""
        try:
            pid = int((self._folder / "run/qemu" / f"{name}.pid").read_text(encoding="utf-8"))
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if f"guest={name}".encode() in words else None

    def image(self, name: str) -> Path:
        """Where on this machine the file is that the host has as IMAGES/name."""
        folder = self._folder / "state" / IMAGES.name
        folder.mkdir(exist_ok=True)
        return folder / name

    def words(self, name: str) -> str:
        """The last lines of a domain's log."""
        return tail(self._folder / "log/qemu" / f"{name}.log")

    async def down(self) -> None:
        """Ends it. What QEMUs are left end with the lab."""
        await self.connection.close()
        if self._process is not None:
            await self._process.stop()
