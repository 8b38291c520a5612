"""How a migration goes, as a model computes it, and the parameters that are fitted to what was measured."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Parameters:
    """The five that are fitted, the same for each model.

    speed: the share of the link's payload that a migration reaches. dirty: how much faster than it was sampled the
    guest dirties memory. pause_s: device state and start, beside what is sent of memory while the guest stands. lead_s:
    from the request to the first page. spread: standard deviation of the logarithm of the dirty rate from one migration
    to the next.
    """

    speed: float = 1.0
    dirty: float = 1.0
    pause_s: float = 0.03
    lead_s: float = 0.03
    spread: float = 0.1


@dataclass(frozen=True)
class Course:
    """ends: whether it ends before it is cancelled; of one that does not, time_s and pause_s are None, and the rest is
    as of its cancellation. time_s: from the request to a guest that runs at the destination and needs nothing more from
    the source. pause_s: STOP to RESUME. data_bytes: on the link. rounds: looks at the dirty bitmap, by QEMU's count.
    throttle: the share of the time for which the guest was held at last. waits_s: the most that a guest in post-copy
    waits for pages, 0 elsewhere.
    """

    ends: bool
    time_s: float | None
    pause_s: float | None
    data_bytes: float
    rounds: int
    throttle: float = 0.0
    waits_s: float = 0.0
