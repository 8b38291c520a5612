"""How a guest that has come is announced: by RARP, gratuitous ARP and unsolicited neighbour advertisements; and what
else of IPv6 keeps its link: duplicate address detection, reports of its groups, advertisements of a router."""

import polars as pl

from migrascope.metrics.hostclock import STAMP_NS
from migrascope.metrics.packets import NS
from migrascope.metrics.windows import Windows
from migrascope.model.measured import Measured, missing
from migrascope.store.recording import Recording

SOURCE = "announce"
KINDS = {
    "rarp": "RARP",
    "garp": "gratuitous ARP",
    "na": "unsolicited neighbour advertisement",
    "dad": "duplicate address detection",
    "mld": "report of groups (MLD)",
}
"""What the destination sends, or the guest there."""
TO_IT = {"ra": "router advertisement"}
"""What is sent to it."""


def measure(recording: Recording, windows: Windows) -> dict[str, Measured]:
    """announced.KIND_s: from RESUME until the first of that kind came from the destination, or to it, below 0 where it
    came before; announced.frames.KIND: how many came from STOP on."""
    table, destination = recording.table(SOURCE), recording.trial.destination
    if not table.height or windows.stop is None or windows.resume is None:
        why = "no switchover was seen" if table.height else "nobody followed the instance's frames"
        found = {f"announced.{kind}_s": missing("s", SOURCE, why) for kind in (*KINDS, *TO_IT)}
        return found | {f"announced.frames.{kind}": missing("1", SOURCE, why) for kind in (*KINDS, *TO_IT)}
    clock = recording.wall_clock
    there = table.filter((pl.col("node") == destination) & pl.col("place").is_in(("tap", "port")))
    error = {"resolution": STAMP_NS / NS, "clock": 2 * clock.worst_step_ns() / NS}
    found = {}
    for kind, name in (KINDS | TO_IT).items():
        way = "to" if kind in TO_IT else "from"
        chosen = (pl.col("kind") == kind) & (pl.col("way") == way)
        rows = there.filter(chosen).select("first_wall_ns", "frames").rows()
        stamps = [(at, frames) for wall, frames in rows if (at := clock.to_mono(wall)) >= windows.stop]
        first = min((at for at, _ in stamps), default=None)
        found[f"announced.{kind}_s"] = (
            missing("s", SOURCE, f"no {name} came {way} the destination")
            if first is None
            else Measured((first - windows.resume) / NS, "s", SOURCE, samples=1).within(**error)
        )
        found[f"announced.frames.{kind}"] = Measured(sum(n for _, n in stamps), "1", SOURCE, samples=len(stamps))
    return found
