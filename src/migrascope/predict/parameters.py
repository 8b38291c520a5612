"""The parameters of a model that are fitted to what was measured."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Parameters:
    """The first five are fitted, the same for each model.

    speed: the share of the link's payload that a migration reaches. dirty: how much faster than it was sampled the
    guest dirties memory. pause_s: device state and start, beside what is sent of memory while the guest stands.
    backlog_bytes: what each connection holds in its buffers that QEMU counts as sent; when the guest stands it has to
    go over first. spread: standard deviation of the logarithm of the dirty rate from one migration to the next.
    lead_s: from the request to the first page, a few hundredths of a second, which is too little to be fitted.
    """

    speed: float = 1.0
    dirty: float = 1.0
    pause_s: float = 0.03
    backlog_bytes: float = 0.0
    spread: float = 0.1
    lead_s: float = 0.03
