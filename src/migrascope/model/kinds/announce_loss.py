"""**What it does.** Nobody learns from the guest's new host that it has come: its announcements are lost for
`duration`. QEMU sends RARP, and has the guest send what announces its addresses: gratuitous ARP, and for IPv6 a
neighbour advertisement that nobody asked for.

**How.** On the labs `qemu` and `libvirt` nftables drop these frames, and no others, at both hosts' ports of the
tenants' link, before its switch has learnt from them. On the testbed flows of the destination's Open vSwitch (br-int,
priority 65535) do.

**What it needs.** nftables for bridges in the kernel; on the testbed nothing.

**Limits.** Any other frame that the guest sends teaches the switch as well: a guest that speaks is found by its first
word. Asked for its address, it still answers. With [OVN](../testbed.md#ovn) that activates ports by RARP the guest is
unreachable until a RARP has passed, or Nova has activated the binding of its new host."""

from typing import TYPE_CHECKING

from migrascope.model.kinds.kind import EVERY, LOSS, Injector, Kind, Tools

if TYPE_CHECKING:
    from migrascope.model.disturbance import Disturbance


class AnnounceLoss(Kind):
    name = "announce-loss"
    ability = "failure of a link"
    does = "what announces the guest is lost"
    how = "nftables drops RARP and the like; on the testbed flows do"
    labs = EVERY
    kernel = (LOSS,)

    def injector(self, disturbance: "Disturbance", tools: Tools) -> Injector:
        return tools.lose_announcements()
