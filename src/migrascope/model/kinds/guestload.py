"""Kinds that are load in the guest, told to its agent."""

from typing import TYPE_CHECKING

from migrascope.model.kinds.kind import EVERY, Kind

if TYPE_CHECKING:
    from migrascope.model.disturbance import Disturbance

DISK_BYTES = 192 * 2**20
"""The largest file of load that the guest's volume has room for."""


class GuestLoad(Kind):
    """A kind whose name is guest- and what guest/stress.py calls it."""

    ability = "stress in the guest"
    labs = EVERY
    in_guest = True

    def told(self, disturbance: "Disturbance", sink: str) -> dict[str, str]:
        """What guest/stress.py is told. sink: where network load goes."""
        told = {"kind": self.name.removeprefix("guest-")}
        if disturbance.write_rate is not None:
            told["rate"] = f"{disturbance.write_rate:.0f}"
        if disturbance.working_set is not None:
            told["set"] = str(disturbance.working_set)
        return told


class DiskLoad(GuestLoad):
    """Load on the guest's volume."""

    needs = ("write_rate", "working_set")
    dose = ("write_rate", "B/s")

    def problem(self, disturbance: "Disturbance") -> str | None:
        if (disturbance.working_set or 0) > DISK_BYTES:
            return "working_set: the guest's volume has room for 192MiB"
        return None
