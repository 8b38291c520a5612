"""Another client of a store, which writes at a set rate."""

import json
from collections.abc import Sequence
from pathlib import Path

from migrascope.lab.injectors.controlled_process import ControlledProcess
from migrascope.model.units import human

_LAID_S, _WRITES_S = 600.0, 30.0


class StoreLoad:
    """storewriter.py, which has laid out what it writes before it is let go. argv: its command line."""

    def __init__(self, argv: Sequence[str], rate: float, log: Path) -> None:
        self._program, self._rate = ControlledProcess("storage-load", argv, log), rate

    async def arm(self) -> None:
        await self._program.begin(_LAID_S)

    async def apply(self) -> str:
        """Returns when the first block is on the store."""
        await self._program.ask("go", _WRITES_S)
        return ""

    async def heal(self) -> str | None:
        """The rate that was reached."""
        said = await self._program.end()
        return reached(json.loads(said), self._rate) if said.startswith("{") else None


def reached(done: dict[str, float], rate: float) -> str | None:
    """What storewriter.py has done, in words; None where it has not begun. rate: the one it was told (bytes/s)."""
    if not done["bytes"]:
        return None
    told, found = human(rate, "B/s"), human(done["bytes"] / max(done["seconds"], 1e-9), "B/s")
    slowest = human(done["slowest_s"], "s")
    return f"wrote {human(done['bytes'], 'B')} in {human(done['seconds'], 's')}: {found} of {told}, slowest {slowest}"
