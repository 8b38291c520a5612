"""**What it does.** `workers` (1 to 16) busy processes in the guest.

**How.** [Load in the guest](../guest-load.md) by its agent.

**What it needs.** Nothing.

**Limits.** Too slow for a phase: `when` is `trial` or `window`. It is not combined with `axes.write_rate`."""

from typing import TYPE_CHECKING

from migrascope.model.kinds.guestload import GuestLoad

if TYPE_CHECKING:
    from migrascope.model.disturbance import Disturbance


class GuestCpu(GuestLoad):
    name = "guest-cpu"
    does = "busy processes in the guest"
    how = "busy processes in the guest"
    needs = ("workers",)
    dose = ("workers", "workers")

    def told(self, disturbance: "Disturbance", sink: str) -> dict[str, str]:
        return {**super().told(disturbance, sink), "workers": str(disturbance.workers)}
