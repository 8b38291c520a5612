"""The guest's pause as it shows from outside: how long its clock stood still over the network blackout, in a trial."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from migrascope.metrics.network import migration_gap
from migrascope.metrics.packets import Ints, Packets, Span, to_mono
from migrascope.metrics.peer_clock import Step, Unknown, step
from migrascope.metrics.windows import Windows
from migrascope.model.measured import Measured, missing

if TYPE_CHECKING:
    from migrascope.store.recording import Recording

SOURCE = "peer_clock"
PAUSE, NETWORK = "guest_pause_from_outside_s", "network_beside_pause_s"
NOT_ASKED = "peer_clock"
"""The fact of a trial that says why no connection was kept for its time stamps."""
RESET = 4
ADVANCED = (
    "the guest's clock did not stand still over the blackout: the network alone was gone, or the clock was advanced on "
    "resume"
)


def measure(recording: "Recording", packets: Packets, windows: Windows) -> dict[str, Measured]:
    """guest_pause_from_outside_s and network_beside_pause_s."""
    gap = migration_gap(packets, windows)
    if gap is None or not gap.ended:
        return _none("there was no network blackout, or it did not end")
    try:
        found = of_recording(recording, (gap.start_ns, gap.end_ns))
    except Unknown as error:
        return _none(str(error))
    if not found.still:
        return _none(ADVANCED)
    pause = Measured(found.seconds, "s", SOURCE, samples=found.segments).within(
        resolution=found.tick_s, scatter=found.scatter_s
    )
    beside = Measured(gap.blackout_s - found.seconds, "s", SOURCE, samples=found.segments)
    return {
        PAUSE: pause,
        NETWORK: beside.within(resolution=gap.bound_s + found.tick_s, scatter=found.scatter_s),
    }


class Segments(NamedTuple):
    """The table peer_clock by columns; tsval is -1 where a segment has no stamp, arrived is in mono ns."""

    connection: Ints
    flags: Ints
    tsval: Ints
    ttl: Ints
    arrived: Ints


def segments_of(recording: "Recording") -> Segments:
    """The segments that came on connections kept for their time stamps."""
    table = recording.table(SOURCE)
    names = ("connection", "flags", "tsval", "ttl", "recv_wall_ns", "recv_ns")
    columns = (np.asarray(table[name].to_numpy(), dtype=np.int64) for name in names)
    connection, flags, tsval, ttl, walls, read = columns
    return Segments(connection, flags, tsval, ttl, to_mono(recording.wall_clock, walls, read))


def unseen_of(recording: "Recording") -> str:
    """Why no segment came."""
    return str(recording.trial.facts.get(NOT_ASKED) or "no connection was kept for its time stamps")


def of_recording(recording: "Recording", over: Span) -> Step:
    """How long the guest's clock stood still over the span (mono ns). Unknown where it cannot be said."""
    if not recording.table(SOURCE).height:
        raise Unknown(unseen_of(recording))
    connection, flags, tsval, _, arrived = segments_of(recording)
    return of_segments(connection, flags, tsval, arrived, over)


def of_segments(connection: Ints, flags: Ints, tsval: Ints, arrived: Ints, over: Span) -> Step:
    """The same of segments, with their flags; tsval -1 where a segment has no stamp."""
    have = tsval >= 0
    if len(tsval) and not have.any():
        answers = (flags & RESET) == 0
        raise Unknown("the peer sends no time stamps" if answers.any() else "the connection was refused")
    ended = ((flags & RESET) != 0) & (arrived > over[0])
    try:
        return step(connection[have], tsval[have], arrived[have], over)
    except Unknown:
        number = connection[have & (arrived <= over[0])][-1:]
        if len(number) and (ended & (connection == number[0])).any():
            raise Unknown("the connection was reset: the guest was started anew, or its service was") from None
        raise


def _none(reason: str) -> dict[str, Measured]:
    return {key: missing("s", SOURCE, reason) for key in (PAUSE, NETWORK)}
