"""**What it does.** UDP datagrams of 1400 bytes at `rate` compete with what the source sends, to the destination
(target `migration`) or the storage node (target `storage`).

**How.** A process in the source, which stands still until its moment; its datagrams stand in the same queue as the
migration's. What could not be sent in time is given up.

**What it needs.** Processor time of this machine.

**Limits.** The rate that is reached is in the link's counters, not promised."""

from typing import TYPE_CHECKING

from migrascope.model.kinds.kind import EVERY, Injector, Kind, Tools, given

if TYPE_CHECKING:
    from migrascope.model.disturbance import Disturbance


class Traffic(Kind):
    name = "traffic"
    ability = "stress on a link"
    does = "others' datagrams compete on a link"
    how = "UDP at a set rate from the source, in the link's own queue"
    targets = ("migration", "storage")
    needs = ("rate",)
    labs = EVERY
    dose = ("rate", "bit/s")

    def injector(self, disturbance: "Disturbance", tools: Tools) -> Injector:
        return tools.flood_link(disturbance.target, given(disturbance.rate))
