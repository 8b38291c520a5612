"""A node with an init of its own: a systemd-nspawn container in its network namespace, a layer over a root image.

It outlives the process that started it. Nothing is kept about it but its folder: the node that runs is the process
with the number 1 in its namespace.
"""

import asyncio
import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from migrascope.model.problem import Problem
from migrascope.node import cgroup
from migrascope.node.namespace import NETNS, Namespace
from migrascope.node.process import ProcessError, Where, run, tail
from migrascope.node.wait import wait_until
from migrascope.store.atomic import write_whole

_DEVICES = ("/dev/kvm", "/dev/net/tun", "/dev/userfaultfd", "/dev/fuse")
_ENVIRONMENT = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "HOME=/root")
_HALT = signal.SIGRTMIN + 4  # systemd(1): poweroff.target
_BOOT_S = 60.0
PROGRAM = "systemd-nspawn"


@dataclass(frozen=True)
class File:
    """A file of a node, with its folders. owner: "user:group" by the node's names."""

    path: str
    text: str
    mode: int = 0o644
    owner: str = "root:root"


@dataclass(frozen=True)
class Container:
    """One node. id names its cgroup (and its scope, where this machine's init is systemd); folder holds its layer.

    shares: folders of this machine that it sees, read-only, and where.
    """

    name: str
    id: str
    namespace: Namespace
    image: Path
    folder: Path
    shares: tuple[tuple[Path, str], ...] = ()

    @property
    def layer(self) -> Path:
        """What differs from the image: all that the node has ever written."""
        return self.folder / "layer"

    @property
    def console(self) -> Path:
        """What the node's init printed, and nspawn's own complaints."""
        return self.folder / "console.log"

    def cgroup(self) -> Path | None:
        """The cgroup to be made for it; None where systemd makes it."""
        return cgroup.hierarchy() / self.id if cgroup.own() else None

    def lay(self, path: str, text: str) -> None:
        """Writes a file of a node that is down."""
        file = self.layer / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, text)

    def pid(self) -> int | None:
        """The number of the node's PID 1 on this machine; None when it is down."""
        inode = self.namespace.inode()
        return next((pid for pid in inits(inode)), None) if inode is not None else None

    async def boot(self) -> None:
        """Starts the node, unless it runs, and returns when its systemd takes orders. Problem when it does not boot."""
        started = self._start() if self.pid() is None else None
        if started is None:
            with contextlib.suppress(NotUp):
                self.freeze(frozen=False)
        deadline = time.monotonic() + _BOOT_S
        while not await self._takes_orders():
            ended = started is not None and started.poll() is not None and self.pid() is None
            if ended or time.monotonic() > deadline:
                how = "ended while it booted" if ended else f"did not boot in {_BOOT_S:g} s"
                raise Problem(f"the node {self.name} {how}: {tail(self.console, 15)}\n  next: less {self.console}")
            await asyncio.sleep(0.05)

    async def _takes_orders(self) -> bool:
        try:
            state = await self.run(["sh", "-c", "systemctl is-system-running || true"], timeout_s=10)
        except (ProcessError, NotUp):
            return False
        return state.strip() in ("running", "degraded")

    def _start(self) -> subprocess.Popen[bytes]:
        if shutil.which(PROGRAM) is None:
            raise Problem(f"{PROGRAM} is missing\n  next: apt-get install systemd-container")
        for folder in (self.layer, self.folder / "work", self.folder / "root"):
            folder.mkdir(parents=True, exist_ok=True)
        own = self.cgroup()
        if own is not None:
            cgroup.create(own)
        devices = [path for path in _DEVICES if Path(path).exists()]
        how = {
            "cgroup": str(own or ""),
            "namespace": str(self.namespace.path),
            "image": str(self.image),
            "layer": str(self.layer),
            "work": str(self.folder / "work"),
            "root": str(self.folder / "root"),
            "argv": [
                PROGRAM, "--quiet", "--settings=no", "--register=no", "--keep-unit", "--capability=all", "--boot",
                "--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=read-only",
                f"--machine={self.name}", f"--directory={self.folder / 'root'}",
                *(f"--bind={path}" for path in devices),
                *(f"--bind-ro={path}:{where}" for path, where in self.shares),
            ],
        }  # fmt: skip
        argv = [sys.executable, "-P", "-m", "migrascope.node.boot", json.dumps(how)]
        if own is None:
            unit = f"--unit={self.id}"
            argv = ["systemd-run", "--scope", "--quiet", "--collect", "-p", "Delegate=yes", unit, "--", *argv]
        # Of /proc/sys and /sys only the network's part: the rest is this machine's own.
        environment = os.environ | {"SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"}
        with self.console.open("ab") as output:
            return subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, env=environment
            )

    def freeze(self, *, frozen: bool) -> None:
        """Holds every process of the node where it is, or lets them go on. NotUp when the node is down."""
        self._payload("cgroup.freeze").write_text(str(int(frozen)), encoding="utf-8")

    async def frozen(self) -> bool:
        """Whether every process of it is held."""
        return "frozen 1" in self._payload("cgroup.events").read_text(encoding="utf-8")

    def _payload(self, file: str) -> Path:
        pid = self.pid()
        # nspawn puts the node's processes below this one, and itself beside it.
        payloads = [path for path in cgroup.of(pid).parents if path.name == "payload"] if pid is not None else []
        if not payloads:
            raise NotUp(f"the node {self.name} is down, or has only just begun to boot")
        return payloads[0] / file

    def command(self, argv: Sequence[str], *, environment: Sequence[str] = ()) -> list[str]:
        """The command line that runs argv in the node. NotUp when the node is down."""
        pid = self.pid()
        if pid is None:
            raise NotUp(f"the node {self.name} is down")
        return inside(pid, argv, environment)

    def journal(self, options: Sequence[str], *, environment: Sequence[str] = ()) -> list[str]:
        """The command line that shows the node's journal: in the node, or on its disk while it is down. Problem when it
        has never written one."""
        if self.pid() is not None:
            return self.command(["journalctl", *options], environment=environment)
        folder = self.layer / "var/log/journal"
        if not folder.exists():
            raise Problem(f"the node {self.name} has never written a journal: {tail(self.console)}")
        return ["journalctl", f"--directory={folder}", *options]

    async def run(self, argv: Sequence[str], *, stdin: str | bytes = b"", timeout_s: float = 60.0) -> str:
        """Runs a program in the node to its end, gives its standard output; it dies with us.

        ProcessError when it fails, NotUp when the node is down.
        """
        data = stdin.encode() if isinstance(stdin, str) else stdin
        bound = self.command(["setpriv", "--pdeathsig", "KILL", *argv])
        return await run(f"{argv[0]} in {self.name}", bound, Where(), timeout_s=timeout_s, stdin=data)

    async def write(self, files: Sequence[File]) -> None:
        """Writes files in the node that runs, each with its folders, mode and owner, and each at once as a whole."""
        await self.run(["tar", "--extract", "--file=-", "--directory=/", "--no-overwrite-dir"], stdin=_archive(files))

    async def stop(self, timeout_s: float = 40.0) -> None:
        """Powers the node off as its operator would; what has not ended in time is killed."""
        pid = self.pid()
        if pid is not None:
            os.kill(pid, _HALT)
            try:
                await wait_until(self._down, timeout_s, f"{self.name} is off", 0.05)
            except Problem:
                await self.kill()
        self._remove_cgroup()

    async def kill(self) -> None:
        """A power failure: the node is gone at once, with all that it runs."""
        pid = self.pid()
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            await wait_until(self._down, 10, f"{self.name} is dead", 0.02)
        self._remove_cgroup()

    def _remove_cgroup(self) -> None:
        path = self.cgroup()
        if path is not None:
            cgroup.remove(path)

    async def _down(self) -> bool:
        return self.pid() is None


class NotUp(Problem):
    """Something was asked of a node that is down."""


def inside(pid: int, argv: Sequence[str], environment: Sequence[str] = ()) -> list[str]:
    """The command line that runs argv in the node whose PID 1 this is."""
    spaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd"]
    return ["nsenter", f"--target={pid}", *spaces, "--", "env", "-i", *_ENVIRONMENT, *environment, *argv]


def inits(network: int) -> Iterator[int]:
    """The processes that are number 1 of a PID namespace directly below ours, in a network namespace (by its inode)."""
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                if (path / "ns/net").stat().st_ino != network:
                    continue
                status = (path / "status").read_text(encoding="utf-8")
            except OSError:
                continue
            fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
            if fields["NSpid"].split()[1:] == ["1"] and fields["State"].split()[0] not in "ZX":
                yield int(path.name)


def inner_networks(namespace: Namespace, pattern: str) -> list[Path]:
    """The network namespaces of those names that a node has made in itself, as Neutron's router does; none where the
    node is down. namespace: the node's own. The paths hold until it is down."""
    inode = namespace.inode()
    pid = next(inits(inode), None) if inode is not None else None
    return sorted(Path(f"/proc/{pid}/root{NETNS}").glob(pattern)) if pid is not None else []


def members(pid: int, kind: str = "pid") -> Iterator[int]:
    """The processes of the node whose PID 1 this is, itself included; none when it is gone. kind: of the namespace that
    they share: "net" for a node without an init."""
    try:
        space = Path(f"/proc/{pid}/ns/{kind}").stat().st_ino
    except OSError:
        return
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with contextlib.suppress(OSError):
                if (path / "ns" / kind).stat().st_ino == space:
                    yield int(path.name)


def _archive(files: Sequence[File]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for file in files:
            data = file.text.encode()
            info = tarfile.TarInfo(file.path.lstrip("/"))
            info.size, info.mode, info.mtime = len(data), file.mode, int(time.time())
            info.uname, _, info.gname = file.owner.partition(":")
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()
