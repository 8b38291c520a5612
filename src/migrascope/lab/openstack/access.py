"""What of a cloud can be reached besides its APIs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from migrascope.lab.openstack.policy import settings
from migrascope.model.policy import Policy
from migrascope.model.schedule import Factors
from migrascope.node.namespace import Namespace

NOBODY: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Host:
    """A host's hypervisor. uri: libvirt's. python: the command that runs a Python with libvirt's module, in the host or
    beside it. space: the host's network, where we may look into it; that Python then runs in the host."""

    uri: str
    python: tuple[str, ...]
    space: Namespace | None = None


class CloudAccess:
    """A cloud of others: what its owner lets us reach.

    hosts: by their names in Compute. client: where visitors are; None is this machine. origin: the address from which
    the online video comes. fabric: where ports (interface: (link, node)) are counted; None where nobody can. ceph: the
    command of a Python that may ask Ceph; empty where nobody may. policies: the plan's ways of migrating, by name.
    """

    def __init__(
        self,
        hosts: Mapping[str, Host] = NOBODY,
        client: Namespace | None = None,
        origin: str = "",
        policies: Mapping[str, Policy] = NOBODY,
        *,
        fabric: Namespace | None = None,
        ports: Mapping[str, tuple[str, str]] = NOBODY,
        ceph: tuple[str, ...] = (),
        stated: bool = False,
    ) -> None:
        """stated: the plan says how the cloud migrates, which nobody can read back."""
        self.hosts, self.client, self.origin, self.policies = hosts, client, origin, policies
        self.fabric, self.ports, self.ceph, self._stated = fabric, ports, ceph, stated

    async def ready(self) -> None:
        """Returns when the cloud is as it should be before a run."""

    async def configure(self, factors: Factors) -> dict[str, Any]:
        """Makes the cloud as a trial's factors want it, and gives the settings as they are read back. A cloud of others
        is not changed."""
        return {"stated": settings(self.policies[factors.policy])} if self._stated else {}
