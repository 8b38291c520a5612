"""**What it does.** Every frame comes `delay` (1ms to 1s) later, in each direction: a round trip takes twice that
longer. target: `migration`, `storage`, `tenant`, `external`; `host` and `way` as for [link-down](link-down.md).

**How.** A delay line in user space: the port of the source, the storage node, the client or each host moves to a
bridge of its own, and a process carries frames between that and the link's bridge, through two taps, when they are
due. TCP's data stay in pieces of up to 64 KiB, so that one process carries a link of 1 Gbit/s.

**What it needs.** Taps, and processor time of this machine. netem is not needed, nor used.

**Limits.** Frames come up to a millisecond late where processors are free, later where they are not. A direction
holds 256 MiB; what comes beyond is lost, and so is what it holds when it is healed."""

from typing import TYPE_CHECKING

from migrascope.model.kinds.frames import FrameKind
from migrascope.model.kinds.kind import TAP, Injector, Tools, given

if TYPE_CHECKING:
    from migrascope.model.disturbance import Disturbance


class LinkDelay(FrameKind):
    name = "link-delay"
    ability = "stress on a link"
    does = "frames come later"
    how = "a delay line in user space, before the link's bridge"
    needs = ("delay",)
    kernel = (TAP,)
    dose = ("delay", "s")

    def injector(self, disturbance: "Disturbance", tools: Tools) -> Injector:
        return tools.delay_frames(disturbance.target, given(disturbance.delay), disturbance.way, disturbance.host)
