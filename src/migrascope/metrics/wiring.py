"""The network's share of a blackout: when it brought the instance's frames where, from the taps and the links."""

from dataclasses import dataclass

import polars as pl

from migrascope.metrics.hostclock import STAMP_NS
from migrascope.metrics.packets import NS
from migrascope.metrics.windows import Windows
from migrascope.model.family import FIRST, NOT_PLANNED, SECOND, Family, key_of
from migrascope.model.measured import Measured, missing, summed
from migrascope.store.recording import Recording

SOURCE = "announce"
_ANNOUNCING = ("rarp", "garp")
_PACKETS: dict[Family, str] = {FIRST: "frame", SECOND: "frame6"}
_OWN: dict[Family, tuple[str, ...]] = {FIRST: ("frame", "arp"), SECOND: ("frame6", "nd")}
_OVER_IPV6 = {name: key_of(f"wiring.{name}_s") for name in ("spoke", "router")}
KEYS = (
    "network_wiring_s",
    "wiring.left_s",
    "wiring.came_s",
    "wiring.announced_s",
    "wiring.heard_s",
    "wiring.spoke_s",
    "wiring.router_s",
    *_OVER_IPV6.values(),
)


@dataclass(frozen=True)
class Path:
    """Mono ns; None where it was not seen. left: the last frame to the source's tap; came: the first to the
    destination's; announced: the instance's first RARP or gratuitous ARP at the destination's tap; heard: the same at
    the source's port of the tenants' network; spoke: the first other frame of the family from the destination's tap;
    router: the first one from the instance at a node's port of the external network: the router's, or that of the host
    which has its floating IP. All but the first two after RESUME."""

    left: int | None
    came: int | None
    announced: int | None
    heard: int | None
    spoke: int | None
    router: int | None


def _followed(recording: Recording) -> pl.DataFrame:
    """What was seen where all of the instance's frames are followed: at a port of the lab's switch only some are. A
    router's advertisement goes to all, wherever the instance is."""
    return recording.table(SOURCE).filter((pl.col("place") != "port") & (pl.col("kind") != "ra"))


def path(recording: Recording, windows: Windows, family: Family = FIRST) -> Path | None:
    """What was seen of the way of the instance's frames; None where nobody looked, or nothing was switched over."""
    table = _followed(recording)
    if not table.height or windows.request is None or windows.resume is None:
        return None
    clock, source, destination = recording.wall_clock, recording.trial.source, recording.trial.destination

    def first(after_ns: int, node: str | None, place: str, way: str, kinds: tuple[str, ...] = ()) -> int | None:
        stamps = _stretches(recording, node, place, way, kinds)
        return min((stamp for stamp in stamps if stamp >= after_ns), default=None)

    to_source = (pl.col("node") == source) & (pl.col("place") == "tap") & (pl.col("way") == "to")
    left = table.filter(to_source)["last_wall_ns"].max()
    resume = windows.resume
    return Path(
        left=clock.to_mono(left) if isinstance(left, int) else None,
        came=first(windows.request, destination, "tap", "to"),
        announced=first(resume, destination, "tap", "from", _ANNOUNCING),
        heard=first(resume, source, "tenant", "from", _ANNOUNCING),
        spoke=first(resume, destination, "tap", "from", _OWN[family]),
        router=first(resume, None, "router", "from", (_PACKETS[family],)),
    )


def answering(recording: Recording, seen: Path, until_ns: float) -> tuple[int, int] | None:
    """When the instance began to send again by then over the recording's family, after it had been heard at the
    router's port and was silent for 20 ms (see table announce): at its tap and at that port, the last time. None where
    it did not."""
    if seen.router is None:
        return None
    own = _stretches(recording, recording.trial.destination, "tap", "from", _OWN[recording.family])
    tap = max((stamp for stamp in own if seen.router < stamp <= until_ns), default=None)
    if tap is None:
        return None
    there = _stretches(recording, None, "router", "from", (_PACKETS[recording.family],))
    out = max((stamp for stamp in there if tap <= stamp <= until_ns), default=None)
    return (tap, out) if out is not None else None


def _stretches(recording: Recording, node: str | None, place: str, way: str, kinds: tuple[str, ...]) -> list[int]:
    """When stretches of frames of those kinds (none: of any) began there, on any node for None, mono ns."""
    chosen = (pl.col("place") == place) & (pl.col("way") == way)
    if node is not None:
        chosen &= pl.col("node") == node
    if kinds:
        chosen &= pl.col("kind").is_in(kinds)
    return [recording.wall_clock.to_mono(wall) for wall in _followed(recording).filter(chosen)["first_wall_ns"]]


def measure(recording: Recording, windows: Windows) -> dict[str, Measured]:
    """network_wiring_s, and wiring.*: left and came against STOP, the others against RESUME; spoke and router over
    each family."""
    planned = SECOND in recording.trial.plan.get("families", [])
    unplanned = {} if planned else {key: missing("s", SOURCE, NOT_PLANNED) for key in _OVER_IPV6.values()}
    seen, over_ipv6 = path(recording, windows), path(recording, windows, SECOND)
    if seen is None or over_ipv6 is None or windows.stop is None or windows.resume is None:
        looked = _followed(recording).height
        reason = "no switchover was seen" if looked else "nobody followed the instance's frames"
        return {key: missing("s", SOURCE, reason) for key in KEYS} | unplanned
    stop, resume = windows.stop, windows.resume
    against = {
        "wiring.left_s": (seen.left, stop),
        "wiring.came_s": (seen.came, stop),
        "wiring.announced_s": (seen.announced, resume),
        "wiring.heard_s": (seen.heard, resume),
        "wiring.spoke_s": (seen.spoke, resume),
        "wiring.router_s": (seen.router, resume),
        _OVER_IPV6["spoke"]: (over_ipv6.spoke, resume),
        _OVER_IPV6["router"]: (over_ipv6.router, resume),
    }
    # Of a frame's stamp only the step of the clock is known, of QEMU's what it leaves out, too.
    errors = {"resolution": STAMP_NS / NS, "clock": 2 * recording.wall_clock.worst_step_ns() / NS}
    found = {key: _since(at, origin).within(**errors) for key, (at, origin) in against.items()}
    share = _share(seen, stop, resume).within(**summed(errors.items(), errors.items()))
    return {"network_wiring_s": share, **found} | unplanned


def _since(at: int | None, origin: int) -> Measured:
    if at is None:
        return missing("s", SOURCE, "no such frame was seen")
    return Measured((at - origin) / NS, "s", SOURCE, samples=1)


def _share(seen: Path, stop: int, resume: int) -> Measured:
    """How long the instance ran where the network did not bring its frames: on the source after the last one came
    there, and on the destination until the first did."""
    if seen.left is None or seen.came is None:
        return missing("s", SOURCE, "no frame was brought to one of the taps")
    apart = max(0, stop - seen.left) + max(0, seen.came - resume)
    return Measured(apart / NS, "s", SOURCE, samples=2)
