"""**What it does.** The router's neighbour entries of the guest, one of each of the plan's families, name a link-layer
address at which nobody is, as those of a router that has heard nothing since a guest moved behind another one. They are
right again when the guest has announced itself, has asked for the router, or the router has found that nobody answers
and asks everybody; after `duration` an operator takes away what is still wrong.

**How.** `ip neigh replace ADDRESS lladdr 02:00:00:00:00:01 nud stale` in the namespace of the router. Linux believes a
stale entry when it has a packet, sends it there, waits 5 s, asks that one alone three times a second apart, and drops
the entry after 8 s; the next packet then has the address asked for anew (RFC 4861, 7.3). 15 s leave it that time.

**What it needs.** Nothing.

**Limits.** At the switchover the guest's own announcements follow, so that the families differ by when those come. With
an offset after `finish` none follows, and both wait for whoever asks first."""

from typing import TYPE_CHECKING

from migrascope.model.kinds.kind import Injector, Kind, Tools

if TYPE_CHECKING:
    from migrascope.model.disturbance import Disturbance


class NeighbourStale(Kind):
    name = "neighbour-stale"
    ability = "failure of a link"
    does = "the router takes somebody who is not there for the guest"
    how = "a stale neighbour entry with another link-layer address"
    labs = ("qemu", "libvirt")

    def injector(self, disturbance: "Disturbance", tools: Tools) -> Injector:
        return tools.mislead_router()
