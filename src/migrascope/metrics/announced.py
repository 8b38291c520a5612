"""How a guest that has come is announced: by RARP, gratuitous ARP and unsolicited neighbour advertisements."""

import polars as pl

from migrascope.metrics.hostclock import STAMP_NS
from migrascope.metrics.packets import NS
from migrascope.metrics.windows import Windows
from migrascope.model.measured import Measured, missing
from migrascope.store.recording import Recording

SOURCE = "announce"
KINDS = {"rarp": "RARP", "garp": "gratuitous ARP", "na": "unsolicited neighbour advertisement"}


def measure(recording: Recording, windows: Windows) -> dict[str, Measured]:
    """announced.KIND_s: from RESUME until the first of that kind came from the destination, below 0 where it came
    before; announced.frames.KIND: how many came from STOP on."""
    table, destination = recording.table(SOURCE), recording.trial.destination
    if not table.height or windows.stop is None or windows.resume is None:
        why = "no switchover was seen" if table.height else "nobody followed the instance's frames"
        found = {f"announced.{kind}_s": missing("s", SOURCE, why) for kind in KINDS}
        return found | {f"announced.frames.{kind}": missing("1", SOURCE, why) for kind in KINDS}
    clock = recording.wall_clock
    came = table.filter(
        (pl.col("node") == destination) & pl.col("place").is_in(("tap", "port")) & (pl.col("way") == "from")
    )
    error = {"resolution": STAMP_NS / NS, "clock": 2 * clock.worst_step_ns() / NS}
    found = {}
    for kind, name in KINDS.items():
        rows = came.filter(pl.col("kind") == kind).select("first_wall_ns", "frames").rows()
        stamps = [(at, frames) for wall, frames in rows if (at := clock.to_mono(wall)) >= windows.stop]
        first = min((at for at, _ in stamps), default=None)
        found[f"announced.{kind}_s"] = (
            missing("s", SOURCE, f"no {name} came from the destination")
            if first is None
            else Measured((first - windows.resume) / NS, "s", SOURCE, samples=1).within(**error)
        )
        found[f"announced.frames.{kind}"] = Measured(sum(n for _, n in stamps), "1", SOURCE, samples=len(stamps))
    return found
