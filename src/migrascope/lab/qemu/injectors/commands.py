"""What an operator asks QEMU for while a migration runs."""

from migrascope.lab.qemu.monitor import Monitor, MonitorError


class Abort:
    """migrate_cancel on the source."""

    def __init__(self, source: Monitor) -> None:
        self._source = source

    async def arm(self) -> None:
        return

    async def apply(self) -> str:
        await self._source.execute("migrate_cancel")
        return ""

    async def heal(self) -> None:
        return


class SecondMigration:
    """The same migration asked for again; that QEMU refuses it is the answer, not a failure."""

    def __init__(self, source: Monitor, uri: str) -> None:
        self._source, self._uri = source, uri

    async def arm(self) -> None:
        return

    async def apply(self) -> str:
        try:
            await self._source.execute("migrate", {"uri": self._uri})
        except MonitorError as error:
            return f"refused: {error}"
        return "QEMU took it"

    async def heal(self) -> None:
        return
