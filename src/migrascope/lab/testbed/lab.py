"""The testbed as a lab: what a trial has broken is repaired before the next."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from migrascope.cloud.client import Cloud, CloudError
from migrascope.lab.boot_image import BootImage
from migrascope.lab.disturbable import Healing
from migrascope.lab.openstack.instance import CloudInstance
from migrascope.lab.openstack.lab import OpenstackLab
from migrascope.lab.openstack.ownership import InstanceRequest
from migrascope.lab.testbed.control import TestbedControl
from migrascope.lab.testbed.domains import end_orphans
from migrascope.lab.testbed.instance import TestbedInstance
from migrascope.lab.testbed.taps import unplug_orphans
from migrascope.model.disturbance import NONE
from migrascope.model.problem import Problem
from migrascope.model.schedule import Factors
from migrascope.node.wait import wait_until

_WELL_S, _LOOK_S = 90.0, 1.0


class TestbedLab(OpenstackLab):
    """A lab over a testbed that is up."""

    _control: TestbedControl
    _suspect = False

    @classmethod
    @asynccontextmanager
    async def over(
        cls,
        control: TestbedControl,
        cloud: Cloud,
        clouds_yaml: Path,
        wanted: InstanceRequest,
        boot: BootImage,
        vcpus: int,
    ) -> AsyncIterator["TestbedLab"]:
        """As OpenstackLab.up, on the testbed that is controlled."""
        async with cls.up(cloud, clouds_yaml, wanted, boot, control, vcpus=vcpus) as lab:
            assert isinstance(lab, cls)
            lab._control = control
            yield lab

    async def create(self, name: str, factors: Factors, host: str, folder: Path) -> CloudInstance:
        if self._suspect:
            await self.heal()
        self._suspect = factors.disturbance != NONE
        return await super().create(name, factors, host, folder)

    def _instance(self, given: tuple[Any, ...], factors: Factors, host: str, folder: Path) -> TestbedInstance:
        disturbed = factors.disturbance != NONE
        return TestbedInstance(*given, persist=disturbed, control=self._control, host=host, folder=folder)

    async def heal(self) -> Healing:
        """Repairs what is not as it should be, and waits until the store has all copies, and services, agents and hosts
        are well; else makes the cloud anew. CloudError when even that did not help."""
        control = self._control
        did, why = await control.repair(), ""
        try:
            did += await control.replicated()
            await wait_until(self._well, _WELL_S, "every service, agent and host of the cloud is well", _LOOK_S)
        except Problem as problem:
            ill = await asyncio.to_thread(unhealthy, self._resources.cloud.impatient())
            why = "; ".join(ill) or str(problem).splitlines()[0]
            await control.rebuild()
            self._ground = await asyncio.to_thread(self._resources.ground, self._boot)
        else:
            known = {row["id"] for row in await asyncio.to_thread(self._servers)}
            did += await end_orphans(control.nodes, known)
            did += await unplug_orphans(control.nodes, known)
            did += await asyncio.to_thread(self._resources.free_volumes, known)
        self._suspect = False
        return Healing("rebuilt" if why else "healed", did, why)

    def _servers(self) -> list[dict[str, Any]]:
        return list(self._resources.cloud.listed("/servers?all_tenants=1", "servers"))

    async def _well(self) -> bool:
        return not await asyncio.to_thread(unhealthy, self._resources.cloud.impatient())


def unhealthy(cloud: Cloud) -> list[str]:
    """What of the cloud's services, agents and hosts is not well, in words; blocks."""
    try:
        services = cloud.compute("GET", "/os-services")["services"]
        network, storage = cloud.connection.network, cloud.connection.block_storage
        found = [
            f"{service['binary']} on {service['host']} is {service['state']}"
            for service in services
            if service["state"] != "up"
        ]
        agents = cloud.idempotent(lambda: list(network.agents()))
        found += [f"{agent.binary} on {agent.host} is not alive" for agent in agents if not agent.is_alive]
        volumes = cloud.idempotent(lambda: list(storage.services()))
        return found + [
            f"{resource.binary} on {resource.host} is {resource.state}"
            for resource in volumes
            if resource.state != "up"
        ]
    except CloudError as error:
        return [str(error)]
