"""**What it does.** No frame passes a link. target: `migration` (source and destination are cut from each other),
`storage` (both hosts are cut from the volume), `tenant` (the hosts from the visitors), `external` (the visitors from
everything). On OpenStack also `management`: the source is cut from the controller, its API, queue and database. `host
= "source"` or `"destination"`, on `storage`, `tenant` and `management`: that host alone is cut off. `way =
"from-source"` or `"from-destination"`, on the migration link: only what that host sends is lost.

**How.** The bridge ports of the source (`migration`, on OpenStack `storage` and `management` too), the storage node,
both hosts (`tenant`), the client, or the `host` that is named stop forwarding; no interface loses its carrier. In one
direction a token bucket (tbf) that is smaller than any frame drops all that the host sends.

**What it needs.** tbf in the kernel, for one direction.

**Limits.** TCP waits longer with each try, so traffic comes back some time after the link."""

from typing import TYPE_CHECKING

from migrascope.model.kinds.frames import FrameKind
from migrascope.model.kinds.kind import BUCKET, EVERY, Injector, Tools

if TYPE_CHECKING:
    from migrascope.model.disturbance import Disturbance


class LinkDown(FrameKind):
    name = "link-down"
    ability = "failure of a link"
    does = "a link carries nothing, in both directions or in one"
    how = "closes bridge ports; one way, a token bucket drops all"
    beside = ("management",)
    labs = EVERY
    kernel = (BUCKET,)

    def injector(self, disturbance: "Disturbance", tools: Tools) -> Injector:
        return tools.cut_link(disturbance.target, disturbance.way, disturbance.host)
