"""Kinds of failure of a service."""

from typing import TYPE_CHECKING, ClassVar

from migrascope.model.kinds.kind import CLOUD, HOST_SIDES, Kind

if TYPE_CHECKING:
    from migrascope.model.disturbance import Disturbance

SERVICES = {
    "libvirt": HOST_SIDES, "nova-compute": HOST_SIDES, "l2-agent": HOST_SIDES, "ceph-osd": HOST_SIDES,
    "open-vswitch": (*HOST_SIDES, "controller"), "ovn-controller": (*HOST_SIDES, "controller"),
    "ovn-northd": ("controller",), "ovn-northbound": ("controller",), "ovn-southbound": ("controller",),
    "rabbitmq": ("controller",), "database": ("controller",), "ceph-mon": ("controller",),
}  # fmt: skip
"""Services of OpenStack by name, and the targets on which each runs. OVN's, and the agent of Open vSwitch, where the
testbed has that network. The controller is OVN's gateway chassis, whether or not a server comes to it or leaves it."""


class ServiceKind(Kind):
    """A kind that names a service."""

    ability = "failure of a service"
    targets: ClassVar[tuple[str, ...]] = (*HOST_SIDES, "controller")
    needs = ("service",)
    labs: ClassVar[tuple[str, ...]] = (*CLOUD, "libvirt")

    def refused_on(self, disturbance: "Disturbance", lab: str) -> str | None:
        if lab == "libvirt" and disturbance.service != "libvirt":
            return f"the lab libvirt has one service, libvirt, and no {disturbance.service}"
        return None

    def problem(self, disturbance: "Disturbance") -> str | None:
        runs_on = SERVICES.get(disturbance.service or "")
        if runs_on is None:
            return f"service {disturbance.service!r} is not known: one of {', '.join(SERVICES)}"
        return None if disturbance.target in runs_on else f"{disturbance.service} runs on: {', '.join(runs_on)}"
