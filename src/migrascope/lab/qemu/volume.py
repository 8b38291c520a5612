"""An instance's volume: an overlay over the guest image, exported by qemu-nbd in `storage` to both hosts."""

from pathlib import Path

from migrascope.lab.qemu.topology import address
from migrascope.node.namespace import Namespace
from migrascope.node.process import Process, ProcessError, Where, run, start
from migrascope.node.wait import wait_until

EXPORT_PORT = 10809


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

    def command(self) -> list[str]:
        """What serves it."""
        socket = f"--bind={address('storage', 'storage')}"
        argv = ["qemu-nbd", "--persistent", "--shared=4", f"--export-name={self.name}", "--format=qcow2"]
        return [*argv, "--cache=writeback", socket, f"--port={EXPORT_PORT}", str(self.path)]

    async def raw(self, target: Path) -> None:
        """Serves it no longer, and writes what it holds as a raw image, sparse. ProcessError when qemu-img fails."""
        if self.process is not None:
            await self.process.stop()
        argv = ["qemu-img", "convert", "-f", "qcow2", "-O", "raw", str(self.path), str(target)]
        await run("qemu-img", argv, self._where)

    async def destroy(self) -> None:
        if self.process is not None:
            await self.process.stop()
        self.path.unlink(missing_ok=True)


def _listens(port: int) -> bool:
    suffix = f":{port:04X}"
    rows = Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]
    return any(row.split()[1].endswith(suffix) and row.split()[3] == "0A" for row in rows)
