"""**What it does.** A link loses `loss` (0.01% to 90%) of its frames, each by chance. target: `migration`, `storage`,
`tenant`, `external`; `host` and `way` as for [link-down](link-down.md).

**How.** nftables in the bridge of the link (`numgen random`), for what the source, the storage node, the client or
both hosts send, and for what they get: an echo is lost in either direction. Frames are single ones meanwhile: TCP's
data are cut to frames before the link, not handed on in pieces of up to 64 KiB.

**What it needs.** nftables for bridges in the kernel, with random numbers. netem is not needed, nor used.

**Limits.** Frames are lost independently; there are no bursts."""

from typing import TYPE_CHECKING

from migrascope.model.kinds.frames import FrameKind
from migrascope.model.kinds.kind import LOSS, Injector, Tools, given

if TYPE_CHECKING:
    from migrascope.model.disturbance import Disturbance


class LinkLoss(FrameKind):
    name = "link-loss"
    ability = "stress on a link"
    does = "a link loses frames by chance"
    how = "nftables drops frames at random in the link's bridge"
    needs = ("loss",)
    kernel = (LOSS,)
    dose = ("loss", "ratio")

    def injector(self, disturbance: "Disturbance", tools: Tools) -> Injector:
        return tools.lose_frames(disturbance.target, given(disturbance.loss), disturbance.way, disturbance.host)
