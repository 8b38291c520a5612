"""What a plan asks on two libvirt hosts of others that is not there, or not done there."""

from typing import TYPE_CHECKING

from migrascope.model.axes import Axes
from migrascope.model.family import FIRST, SECOND

if TYPE_CHECKING:
    from migrascope.model.plan import Plan

OF_MIGRATION = ("policy", "downtime_limit")
"""The axes that are no property of a guest, of its disturbance, or of a link of ours."""


def not_on_hosts(plan: "Plan") -> str | None:
    """The key of a plan that names hosts, why it cannot be so, and what to do; None where all can be."""
    if plan.lab.kind != "libvirt":
        return f"libvirt.hosts: hosts of others are of the lab libvirt, not {plan.lab.kind}"
    if plan.observed.command or plan.observed.prepare:
        return "observed.command: libvirt migrates the domain, and nothing else is run; leave it out"
    return _of_their_domain(plan) if plan.libvirt.guest is None else _of_our_guest(plan)


def _of_their_domain(plan: "Plan") -> str | None:
    if plan.capture.enabled or plan.probes.stamp_rate or plan.visitors.fits or plan.visitors.viewers:
        return (
            "libvirt.hosts: of a domain of others there is no capture, no stamp_rate and no viewer, and visits are "
            "numbers"
        )
    if plan.families != [FIRST]:
        return (
            "families: a domain of others is measured at the address of its page alone, of whichever family that is; "
            f"leave {SECOND} out"
        )
    theirs = {name: levels for name, levels in plan.axes if name not in OF_MIGRATION}
    plain = dict(Axes(scenario=["none"]))
    changed = [name for name, levels in theirs.items() if levels != plain[name]] + ["also"] * bool(plan.also)
    if changed:
        return f"axes.{changed[0]}: of a domain of others only {' and '.join(OF_MIGRATION)} can be set; leave it out"
    return None


def _of_our_guest(plan: "Plan") -> str | None:
    if any(axes.link != Axes().link for _, axes in plan.parts()):
        return "axes.link: the links between hosts of others stay as they are; leave it out"
    if len(plan.axes.storage) > 1:
        return "axes.storage: a pool is shared, or each host has one of its own: one level, or two plans"
    guest = plan.libvirt.guest
    if guest is not None and guest.address6 and SECOND not in plan.families:
        return (
            f'libvirt.guest.address6: the plan measures {FIRST} alone: families = ["{FIRST}", "{SECOND}"], or leave it '
            "out"
        )
    if guest is not None and plan.streamed and not guest.address and not guest.origin:
        return (
            f"libvirt.guest.origin: {', '.join(plan.streamed)} need it where the guest has its address by DHCP: the "
            "address of this machine that it reaches is not known before the guest boots"
        )
    return None
