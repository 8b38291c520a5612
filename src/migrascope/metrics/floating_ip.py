"""A distributed floating IP, which moves with its instance: when hosts send for it, and when packets come to them."""

from dataclasses import dataclass

import polars as pl

from migrascope.metrics.hostclock import STAMP_NS
from migrascope.metrics.packets import NS
from migrascope.metrics.windows import Windows
from migrascope.model.measured import Measured, missing
from migrascope.store.recording import Recording

SOURCE = "announce"
STAMPS = {
    "left": "the last frame that the source sent for it",
    "brought": "the first packet for it that the external network brought to the destination",
    "came": "the first frame that the destination sent for it",
    "announced": "the destination's first gratuitous ARP of it",
}
KEYS = tuple(f"floating_ip.{name}_s" for name in STAMPS)
CENTRALIZED = "no floating IP moves with its instance: only distributed ones do"
_KINDS = ("frame", "arp", "garp")
"""Of IPv4, at a node's external port: IPv6 has no floating IPs."""


def distributed(recording: Recording) -> bool:
    """Whether each host has the floating IPs of its instances, as the lab says."""
    return recording.trial.settings.get("floating_ips") == "distributed"


@dataclass(frozen=True)
class Moved:
    """Mono ns by name of STAMPS; None where it was not seen."""

    left: int | None
    brought: int | None
    came: int | None
    announced: int | None


def moved(recording: Recording, windows: Windows) -> Moved | None:
    """What passed the hosts' ports of the external network for the floating IP, from the request on; None where it does
    not move, or no migration was asked for."""
    if not distributed(recording) or windows.request is None:
        return None
    clock, request = recording.wall_clock, windows.request
    table = recording.table(SOURCE).filter((pl.col("place") == "router") & pl.col("kind").is_in(_KINDS))
    here, there = (
        table.filter(pl.col("node") == host) for host in (recording.trial.source, recording.trial.destination)
    )
    sent, kind = pl.col("way") == "from", pl.col("kind")

    def first(rows: pl.DataFrame) -> int | None:
        stamps = [clock.to_mono(wall) for wall in rows["first_wall_ns"]]
        return min((stamp for stamp in stamps if stamp >= request), default=None)

    left = here.filter(sent)["last_wall_ns"].max()
    return Moved(
        left=clock.to_mono(left) if isinstance(left, int) else None,
        brought=first(there.filter(~sent & (kind == "frame"))),
        came=first(there.filter(sent)),
        announced=first(there.filter(sent & (kind == "garp"))),
    )


def measure(recording: Recording, windows: Windows) -> dict[str, Measured]:
    """floating_ip.NAME_s of each of STAMPS, from RESUME; below 0 is before."""
    seen = moved(recording, windows)
    if seen is None or windows.resume is None:
        why = CENTRALIZED if not distributed(recording) else "no switchover was seen"
        return {key: missing("s", SOURCE, why) for key in KEYS}
    error = {"resolution": STAMP_NS / NS, "clock": 2 * recording.wall_clock.worst_step_ns() / NS}
    found = {}
    for name, what in STAMPS.items():
        at = getattr(seen, name)
        found[f"floating_ip.{name}_s"] = (
            missing("s", SOURCE, f"not seen: {what}")
            if at is None
            else Measured((at - windows.resume) / NS, "s", SOURCE, samples=1).within(**error)
        )
    return found
