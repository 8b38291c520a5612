"""**What it does.** A writer in the guest dirties `working_set` (1MiB at least) at `write_rate` (4096B/s at least) in a
`pattern`: random, sequential, hot, few.

**How.** [Load in the guest](../guest-load.md) by its agent. The table `stress` holds the rate that was reached.

**What it needs.** 256 MiB of the guest's memory beside the working set.

**Limits.** It begins when the set is filled, which is too slow for a phase: `when` is `trial` or `window`. It is not
combined with `axes.write_rate`."""

from typing import TYPE_CHECKING

from migrascope.model.kinds.guestload import GuestLoad

if TYPE_CHECKING:
    from migrascope.model.disturbance import Disturbance


class GuestMemory(GuestLoad):
    name = "guest-memory"
    does = "a steady writer in the guest's memory"
    how = "the guest's steady writer"
    needs = ("write_rate", "working_set")
    takes = ("pattern",)
    dose = ("write_rate", "B/s")

    def told(self, disturbance: "Disturbance", sink: str) -> dict[str, str]:
        return {**super().told(disturbance, sink), "pattern": disturbance.pattern or "random"}

    def guest_bytes(self, disturbance: "Disturbance") -> int:
        return disturbance.working_set or 0
