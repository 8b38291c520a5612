"""An instance's volume: an overlay over the guest image, exported by qemu-nbd in `storage` to both hosts."""

from pathlib import Path
from typing import Any, Protocol

from migrascope.lab.qemu.topology import address
from migrascope.node.namespace import Namespace
from migrascope.node.process import Process, ProcessError, Where, run, start
from migrascope.node.wait import wait_until

EXPORT_PORT = 10809


class Stored(Protocol):
    """A volume as its instance sees it."""

    async def create(self) -> None:
        """Makes it. ProcessError where that fails."""

    async def make_ready(self, destination: str) -> None:
        """A host is about to take the instance over. ProcessError where what it needs cannot be made."""

    def node(self, host: str) -> dict[str, Any]:
        """The block device as the QEMU on a host opens it, without its name."""

    async def raw(self, target: Path, host: str) -> None:
        """Writes what it holds for the instance on a host as a raw image, sparse; nobody uses it any more.
        ProcessError where that fails."""

    async def destroy(self) -> None:
        """Removes it."""


class Volume:
    """A volume that is served; both hosts may hold it open at once, as a migration needs."""

    def __init__(self, name: str, base: Path, folder: Path, root: Path, storage: Namespace) -> None:
        self.name, self._base, self._folder = name, base, folder
        self._where = Where(storage, root)
        self.path = folder / f"{name}.qcow2"
        self.process: Process | None = None

    async def create(self) -> None:
        """Makes the overlay and serves it. ProcessError when qemu-img or qemu-nbd fails."""
        base = ["-b", str(self._base), "-F", "raw"]
        await run("qemu-img", ["qemu-img", "create", "-q", "-f", "qcow2", *base, str(self.path)], self._where)
        self.process = await start("qemu-nbd", self.command(), self._where, self._folder / "qemu-nbd.log")
        process = self.process

        async def listening() -> bool:
            if process.ended:
                raise ProcessError(process.problem())
            assert self._where.namespace is not None
            return self._where.namespace.call(lambda: _listens(EXPORT_PORT))

        await wait_until(listening, 10, "qemu-nbd listens")

    async def make_ready(self, destination: str) -> None:
        """Nothing: every host reaches it."""

    def node(self, host: str) -> dict[str, Any]:
        """The same for each host."""
        server = {"type": "inet", "host": address("storage", "storage"), "port": str(EXPORT_PORT)}
        return {"driver": "nbd", "server": server, "export": self.name, "reconnect-delay": 60}

    def command(self) -> list[str]:
        """What serves it."""
        socket = f"--bind={address('storage', 'storage')}"
        argv = ["qemu-nbd", "--persistent", "--shared=4", f"--export-name={self.name}", "--format=qcow2"]
        return [*argv, "--cache=writeback", socket, f"--port={EXPORT_PORT}", str(self.path)]

    async def raw(self, target: Path, host: str) -> None:
        """Serves it no longer, and writes what it holds. ProcessError when qemu-img fails."""
        if self.process is not None:
            await self.process.stop()
        await convert(self.path, "qcow2", target, "raw", self._where)

    async def destroy(self) -> None:
        if self.process is not None:
            await self.process.stop()
        self.path.unlink(missing_ok=True)


async def convert(image: Path, form: str, target: Path, wanted: str, where: Where) -> None:
    """Writes an image in another form, without what is zero. ProcessError when qemu-img fails."""
    await run("qemu-img", ["qemu-img", "convert", "-f", form, "-O", wanted, str(image), str(target)], where)


def _listens(port: int) -> bool:
    suffix = f":{port:04X}"
    rows = Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]
    return any(row.split()[1].endswith(suffix) and row.split()[3] == "0A" for row in rows)
