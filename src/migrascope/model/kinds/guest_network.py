"""**What it does.** The guest sends `rate` (100kbit to 100gbit) over TCP to the visitors' side, beside what the website
sends.

**How.** [Load in the guest](../guest-load.md) by its agent; a program at the client swallows it. The table `stress`
holds what was sent, `sink` what came.

**What it needs.** Nothing.

**Limits.** Too slow for a phase: `when` is `trial` or `window`. It is not combined with `axes.write_rate`. An
emulated guest needs its processor for it, which the website feels. On a cloud of others the program listens at this
machine's address towards the instance, which must let it in."""

from typing import TYPE_CHECKING

from migrascope.model.kinds.guestload import GuestLoad

if TYPE_CHECKING:
    from migrascope.model.disturbance import Disturbance


class GuestNetwork(GuestLoad):
    name = "guest-network"
    does = "TCP from the guest at a set rate"
    how = "TCP at a set rate from the guest to the visitors' side"
    needs = ("rate",)
    dose = ("rate", "bit/s")

    def told(self, disturbance: "Disturbance", sink: str) -> dict[str, str]:
        return {**super().told(disturbance, sink), "rate": f"{(disturbance.rate or 0) / 8:.0f}", "to": sink}
