"""The parameters of a model that are fitted to what was measured."""

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
