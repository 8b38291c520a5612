"""A host of the lab: libvirt's daemon in a namespace, on a root image, with state of its own."""

import contextlib
import os
import signal
import uuid
from collections.abc import Sequence
from pathlib import Path, PurePath

from migrascope.lab.accelerator import DEVICE
from migrascope.lab.libvirt.connection import Connection, LibvirtError
from migrascope.lab.qemu.topology import address
from migrascope.node.container import inside, members
from migrascope.node.namespace import Namespace
from migrascope.node.process import Process, ProcessError, Where, start, tail
from migrascope.node.wait import WaitTimeout, wait_until
from migrascope.store.removal import remove_tree

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
hostname "$0" && umount -R /sys && mount -t sysfs sysfs /sys || exit
if test -e "$1"; then mount --bind -o ro /etc/libvirt/no-device "$1" || exit; fi
echo ready && exec sleep infinity
"""
_DAEMON = ("libvirtd", "--listen", "--pid-file=/run/libvirt/libvirtd.pid")
_ENVIRONMENT = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "HOME=/")
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


_TLS = 'migrate_tls_x509_cert_dir = "%s"\nmigrate_tls_x509_verify = 1\n'
_LOG = "/var/log/libvirt/phases.log"
_LOGGED = """\
log_filters = "4:qemu.qemu_migration_cookie 4:qemu.qemu_migration_params 1:qemu.qemu_migration 1:qemu.qemu_domainjob"
log_outputs = "1:file:%s 3:stderr"
"""
"""What libvirt writes of its phases, and little else: some 30 lines a migration. The first filter that matches counts,
and each matches all sources that begin so."""


class Host:
    """One host. folder: its own, where what libvirt writes lies, and its logs. A process that does nothing holds its
    mounts and its name, so that libvirt may come and go."""

    def __init__(
        self, name: str, namespace: Namespace, root: Path, folder: Path, certificates: Path | None = None, *,
        kvm: bool = True,
    ) -> None:  # fmt: skip
        """certificates: the folder of those that a QEMU shows where a migration is encrypted, and of who signed them.
        kvm: whether it has KVM where this machine does."""
        self.name, self._folder, self._certificates = name, folder, certificates
        # Where libvirt sees KVM it asks its QEMUs anew when the features have changed that KVM lists. Of newer Intel
        # processors these name the one on which libvirt began (CPUID leaf 0x1F): half of its starts on two took 8 s.
        self._hidden = "" if kvm else str(DEVICE)
        self._where = Where(namespace, root, laid=tuple((folder / part, at) for part, at in _FOLDERS.items()))
        self._holder: Process | None = None
        self._libvirtd: Process | None = None
        self.connection = Connection(name)

    async def up(self) -> None:
        """Starts libvirt and connects to it. ProcessError or LibvirtError with its words when it does not come up."""
        for part in _FOLDERS:
            (self._folder / part).mkdir(parents=True, exist_ok=True)
        (self._folder / "etc/libvirtd.conf").write_text(self._settings(), encoding="utf-8")
        shown = "" if self._certificates is None else _TLS % self._certificates
        (self._folder / "etc/qemu.conf").write_text(_QEMU + shown, encoding="utf-8")
        (self._folder / "etc/no-device").touch()
        argv = ["unshare", "--uts", "sh", "-c", _BEGIN, self.name, self._hidden]
        self._holder = await start(f"the host {self.name}", argv, self._where, self._folder / "host.log", piped=True)
        await self._holder.ready(_READY_S)
        await self.start()

    async def start(self) -> None:
        """Starts libvirt, as its supervisor does, and connects to it. ProcessError with its words when it does not come
        up."""
        assert self._holder is not None
        await self.connection.close()
        (self._folder / "run/libvirt-sock").unlink(missing_ok=True)
        # Without a PID namespace of its own, and so without a fork: libvirt's number is that of the process.
        spaces = ["nsenter", f"--target={self._holder.pid}", "--mount", "--uts", "--net", "--root", "--wd"]
        argv = [*spaces, "--", "env", "-i", *_ENVIRONMENT, *_DAEMON]
        process = await start(f"libvirt on {self.name}", argv, Where(), self._folder / "libvirtd.log")
        self._libvirtd = process

        async def listens() -> bool:
            if process.ended:
                raise ProcessError(process.problem())
            return (self._folder / "run/libvirt-sock").exists()

        try:
            await wait_until(listens, _READY_S, f"libvirt on {self.name} listens", 0.02)
            await self.connection.open(self.python)
        except (WaitTimeout, LibvirtError) as error:
            raise ProcessError(f"{error}\n  {process.problem()}") from error

    async def kill(self) -> None:
        """SIGKILL to libvirt. Its QEMUs live on."""
        assert self._libvirtd is not None
        await self._libvirtd.kill()

    def freeze(self, *, frozen: bool) -> None:
        """Stops libvirt where it is, or lets it go on."""
        assert self._libvirtd is not None
        self._libvirtd.send(signal.SIGSTOP if frozen else signal.SIGCONT)

    async def power_off(self) -> None:
        """SIGKILL to all that runs on it; what it had in memory, as which domains it ran, is gone."""
        assert self._holder is not None
        for pid in members(self._holder.pid, "net"):
            if pid != self._holder.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        await self.kill()
        for path in (self._folder / "run").iterdir():
            remove_tree(path, path.parent)

    def _settings(self) -> str:
        """It listens on all addresses of the host, which are on links that the lab's own nodes alone are on: a guest
        has no way to them."""
        return (
            f'host_uuid = "{uuid.uuid4()}"\nlisten_tls = 0\nlisten_tcp = 1\nauth_tcp = "none"\n'
            f'listen_addr = "0.0.0.0"\ntcp_port = "{PORT}"\n'
            'auth_unix_rw = "none"\nauth_unix_ro = "none"\n'
        ) + _LOGGED % _LOG

    def uri(self, link: str) -> str:
        """By which the other host's libvirt reaches this one over a link."""
        return f"qemu+tcp://{address(self.name, link)}:{PORT}/system"

    @property
    def phases(self) -> Path:
        """The log in which it names the phases of migrations."""
        return self._folder / "log" / Path(_LOG).name

    def command(self, argv: Sequence[str]) -> list[str]:
        """The command line that runs argv in the host."""
        assert self._holder is not None
        return inside(self._holder.pid, argv)

    @property
    def python(self) -> list[str]:
        """The command of a Python in the host that has libvirt's module."""
        return self.command(["setpriv", "--pdeathsig", "KILL", "python3"])

    def qemu(self, name: str) -> int | None:
        """The number on this machine of the QEMU that runs a domain; None where none does."""
        try:
            pid = int((self._folder / "run/qemu" / f"{name}.pid").read_text(encoding="utf-8"))
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if f"guest={name}".encode() in words else None

    def image(self, name: str) -> Path:
        """Where this machine sees the file that the host has as IMAGES/name, also where something is mounted there."""
        assert self._holder is not None
        folder = Path(f"/proc/{self._holder.pid}/root", *IMAGES.parts[1:])
        folder.mkdir(exist_ok=True)
        return folder / name

    def words(self, name: str) -> str:
        """The last lines of a domain's log."""
        return tail(self._folder / "log/qemu" / f"{name}.log")

    async def down(self) -> None:
        """Ends it. What QEMUs are left end with the lab."""
        await self.connection.close()
        for process in (self._libvirtd, self._holder):
            if process is not None:
                process.send(signal.SIGCONT)
                await process.stop()
