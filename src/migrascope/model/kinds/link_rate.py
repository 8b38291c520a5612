"""**What it does.** Every node on the link may send no more than `rate` (100kbit to 100gbit). target: `migration`,
`storage`, `tenant` (what the hosts, and so the instance, send to visitors), `external` (what visitors and the video's
origin send).

**How.** A token bucket (tbf) in each node. Its queue is 5 ms where guests' frames pass (`tenant`, `external`), and has
room for 4 MiB where the node's own connections send, which keep it short themselves.

**What it needs.** tbf in the kernel.

**Limits.** One node is limited after the other, within a few milliseconds."""

from typing import TYPE_CHECKING

from migrascope.model.kinds.kind import BUCKET, EVERY, LINKS, Injector, Kind, Tools, given

if TYPE_CHECKING:
    from migrascope.model.disturbance import Disturbance


class LinkRate(Kind):
    name = "link-rate"
    ability = "stress on a link"
    does = "a link is slower"
    how = "a token bucket (tbf) in each node"
    targets = LINKS
    needs = ("rate",)
    labs = EVERY
    kernel = (BUCKET,)
    dose = ("rate", "bit/s")
    less_is_worse = True

    def injector(self, disturbance: "Disturbance", tools: Tools) -> Injector:
        return tools.limit_link(disturbance.target, given(disturbance.rate))
