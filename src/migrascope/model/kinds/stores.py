"""Kinds that load the volumes' store."""

from typing import TYPE_CHECKING

from migrascope.model.kinds.kind import Kind

if TYPE_CHECKING:
    from migrascope.model.disturbance import Disturbance

MOST_BYTES = 4 * 2**30
"""The most that load on a store, or its recovery, writes there."""
_COPIES = {"qemu": 1, "libvirt": 1, "openstack": 2}


class StoreKind(Kind):
    """A kind that writes a working set to the store."""

    ability = "stress on a store"

    def problem(self, disturbance: "Disturbance") -> str | None:
        return "working_set: the store has room for 4GiB of it" if (disturbance.working_set or 0) > MOST_BYTES else None

    def disk_bytes(self, disturbance: "Disturbance", lab: str) -> int:
        return (disturbance.working_set or 0) * _COPIES[lab]
