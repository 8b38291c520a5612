"""What of a cloud can be reached besides its APIs."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from migrascope.lab.offline import OfflineVolume
from migrascope.lab.openstack.parts import Parts
from migrascope.model.policy import Policy
from migrascope.model.schedule import Factors
from migrascope.node.namespace import Namespace


async def _unknown(factors: Factors) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Host:
    """A host's hypervisor. uri: libvirt's. python: the command that runs a Python with libvirt's module, in the host or
    beside it. space: the host's network, where we may look into it; that Python then runs in the host."""

    uri: str
    python: tuple[str, ...]
    space: Namespace | None = None


@dataclass(frozen=True)
class Reach:
    """hosts: by their names in Compute. client: where visitors are; None is this machine. origin: the address from
    which the online video comes. fabric: where ports (interface: (link, node)) are counted; None where nobody can.

    ceph: the command of a Python that may ask Ceph; empty where nobody may. volume: reads a volume that nobody uses any
    more, by its id; None where nobody can. configure: makes the cloud as a
    trial's factors want it, and gives the settings as they are read back; on a cloud of others it changes nothing and
    knows nothing. parts: what of it is ours to break; None of a cloud of others. policies: the plan's ways of
    migrating, by name.
    """

    hosts: Mapping[str, Host] = field(default_factory=dict)
    client: Namespace | None = None
    origin: str = ""
    fabric: Namespace | None = None
    ports: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    ceph: tuple[str, ...] = ()
    volume: Callable[[str], Awaitable[OfflineVolume]] | None = None
    configure: Callable[[Factors], Awaitable[dict[str, Any]]] = _unknown
    parts: Parts | None = None
    policies: Mapping[str, Policy] = field(default_factory=dict)
