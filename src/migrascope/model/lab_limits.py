"""What a plan asks of its lab that the lab does not have."""

from typing import TYPE_CHECKING

from migrascope.model.family import DUAL_STACK, FIRST, SECOND

if TYPE_CHECKING:
    from migrascope.model.plan import Plan


def not_there(plan: "Plan") -> str | None:
    """The key of the plan, why its lab does not have it, and what to do; None where it has all."""
    lab = plan.lab.kind
    if plan.lab.qemu_program is not None and lab == "libvirt":
        return "lab.qemu_program: the lab libvirt runs the QEMU of its hosts' image; leave it out"
    if plan.probes.dirty and not plan.embedded and lab != "fake":
        if plan.libvirt.hosts:
            return (
                "probes.dirty: a guest is sampled in the memory of its QEMU, which on hosts of others is not on this "
                "machine; leave it out: migrascope predict --hosts samples one that runs, by libvirt alone"
            )
        return f"probes.dirty: guests are sampled in the labs qemu and libvirt, not in {lab}; leave it out"
    if SECOND in plan.families and lab not in DUAL_STACK:
        return (
            f"families: the lab {lab} is measured over {FIRST} alone, with {SECOND} are: {', '.join(DUAL_STACK)}; "
            f"leave {SECOND} out"
        )
    if SECOND in plan.families and plan.fleet.count:
        return f"families: several instances are probed over {FIRST} alone; leave {SECOND} out"
    if plan.lab.stream_family == SECOND and not plan.embedded and lab != "fake":
        return f"lab.stream_family: how the memory goes between hosts of others is not ours to say: leave {SECOND} out"
    if plan.axes.handover and lab not in ("qemu", "fake"):
        return f"axes.handover: in the lab {lab} others hand over, and no plan changes that; leave it out"
    if plan.axes.network and (lab not in ("openstack", "fake") or plan.cloud.name):
        return "axes.network: only a testbed can have another network: --lab openstack, without a cloud of others"
    tunnelled = next((name for name, policy in plan.chosen_policies().items() if policy.tunnelled), None)
    if tunnelled is not None and lab not in ("libvirt", "fake"):
        return f"policy {tunnelled}: tunnelled: only libvirt has a tunnel: --lab libvirt"
    if tunnelled is not None and plan.lab.stream_family == SECOND:
        return f"policy {tunnelled}: tunnelled: libvirt's own connection is over {FIRST} alone; leave stream_family out"
    return None
