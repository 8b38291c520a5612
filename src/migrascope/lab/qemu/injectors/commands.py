"""What an operator asks QEMU for while a migration runs."""

from migrascope.lab.qemu.instance import Instance
from migrascope.lab.qemu.monitor import Monitor, MonitorError
from migrascope.model.kinds.kind import Injector


class Held:
    """Another injector, for which the switchover waits (pause-before-switchover): the source has stopped the guest, and
    goes on when it has been applied."""

    def __init__(self, inner: Injector, instance: Instance) -> None:
        self._inner, self._instance = inner, instance

    async def arm(self) -> None:
        capability = {"capability": "pause-before-switchover", "state": True}
        source = self._instance.monitors[self._instance.host]
        await source.execute("migrate-set-capabilities", {"capabilities": [capability]})
        self._instance.held = True
        await self._inner.arm()

    async def apply(self) -> str:
        try:
            note = await self._inner.apply()
        finally:
            self._instance.held = False
        return "; ".join(word for word in ("the switchover was held for it, and is longer", note) if word)

    async def heal(self) -> str | None:
        self._instance.held = False
        return await self._inner.heal()


class Abort:
    """migrate_cancel on the source; while its volume is copied, and nothing else yet, the end of that."""

    def __init__(self, instance: Instance) -> None:
        self._instance, self._source = instance, instance.monitors[instance.host]

    async def arm(self) -> None:
        return

    async def apply(self) -> str:
        copy = self._instance.copy
        if copy is not None and copy.under_way:
            await copy.abort()
        else:
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
