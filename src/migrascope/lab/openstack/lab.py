"""A cloud as a lab: its hosts are the cloud's, its instances servers on volumes, migrated through the API."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from migrascope.cloud.client import Cloud, CloudError
from migrascope.cloud.pace import Pace
from migrascope.lab.bootimage import BootImage
from migrascope.lab.openstack import leftovers
from migrascope.lab.openstack.breakable import BreakableInstance
from migrascope.lab.openstack.domains import end_orphans
from migrascope.lab.openstack.fleet import CloudFleet
from migrascope.lab.openstack.instance import CloudInstance, access
from migrascope.lab.openstack.reach import Reach
from migrascope.lab.openstack.resources import Ground, Resources
from migrascope.lab.openstack.taps import unplug_orphans
from migrascope.lab.openstack.wishes import Wishes, machine_tag
from migrascope.model.disturbance import NONE
from migrascope.model.problem import Problem
from migrascope.model.schedule import Factors
from migrascope.node.member import Member
from migrascope.node.namespace import Namespace
from migrascope.node.register import Register
from migrascope.node.takedown import Cleaned, remove
from migrascope.node.until import until

_WELL_S, _LOOK_S = 90.0, 1.0


class OpenstackLab:
    """A cloud in which instances can be made. Use `OpenstackLab.up`; what it made goes when it ends."""

    def __init__(
        self, resources: Resources, ground: Ground, reach: Reach, register: Register, hosts: tuple[str, str],
        clouds_yaml: Path | None, vcpus: int, facts: dict[str, Any], boot: BootImage,
    ) -> None:  # fmt: skip
        self._boot, self._suspect = boot, False
        self._resources, self._ground, self._reach, self._register = resources, ground, reach, register
        self._clouds_yaml, self._vcpus = clouds_yaml, vcpus
        self.hosts, self.facts, self.origin = hosts, facts, reach.origin

    @property
    def folder(self) -> Path:
        return self._register.folder

    @property
    def client(self) -> Namespace | None:
        return self._reach.client

    @classmethod
    @contextlib.asynccontextmanager
    async def up(
        cls, cloud: Cloud, clouds_yaml: Path | None, wanted: Wishes, boot: BootImage, reach: Reach, *, vcpus: int = 1
    ) -> AsyncIterator["OpenstackLab"]:
        """The cloud's image and networks, found, and a security group of the run's own. wanted: its `run` and `machine`
        are filled in. What runs of this machine that were killed left there is removed first. CloudError says what the
        cloud lacks."""
        register = Register.create()
        try:
            machine = machine_tag()
            left = (await asyncio.to_thread(leftovers.find, cloud, machine)).left
            await asyncio.to_thread(leftovers.remove, cloud, left)
            wishes = Wishes(register.id, machine, wanted.image, wanted.flavor, wanted.network, wanted.external)
            resources = Resources(cloud, wishes)
            hosts = await asyncio.to_thread(hypervisors, cloud)
            facts = {"lab": "openstack", "cloud": cloud.name, **await asyncio.to_thread(versions, cloud)}
            if reach.parts is not None:
                await reach.parts.mend()
                await reach.parts.whole()
            ground = await asyncio.to_thread(resources.ground, boot)
            try:
                yield cls(resources, ground, reach, register, hosts, clouds_yaml, vcpus, facts, boot)
            finally:
                with contextlib.suppress(CloudError):  # the next run, or clean, finds it
                    await asyncio.to_thread(resources.leave, ground)
        finally:
            remove(register, Cleaned())

    async def create(self, name: str, factors: Factors, host: str, folder: Path) -> CloudInstance:
        """A server with its website on `host`; the caller destroys it."""
        folder.mkdir(exist_ok=True)
        resources, name = self._resources, f"{self._register.id}-{folder.name}"
        if self._suspect:
            await self.heal()
        self._suspect = factors.disturbance != NONE and self._reach.parts is not None
        settings = await self._reach.configure(factors)
        flavor = await asyncio.to_thread(resources.flavor, factors.memory_bytes, self._vcpus)
        making = asyncio.ensure_future(asyncio.to_thread(resources.make, name, self._ground, flavor, host))
        try:
            made = await asyncio.shield(making)
        except asyncio.CancelledError:
            with contextlib.suppress(CloudError):
                await making
                await asyncio.to_thread(resources.remove, name)
            raise
        given = (name, made, resources, self._reach, settings, access(resources.cloud.name, self._clouds_yaml))
        disturbed, parts = factors.disturbance != NONE, self._reach.parts
        if parts is None:
            return CloudInstance(*given)
        return BreakableInstance(*given, persist=disturbed, parts=parts, host=host, folder=folder)

    async def heal(self) -> dict[str, Any]:
        """Mends what is not as it should be, and waits until the store has all copies, and services, agents and hosts
        are well; else makes the cloud anew. {"lab": "healed" or "rebuilt", "did": what it did, "why": what was not
        well}. CloudError when even that did not help."""
        parts = self._reach.parts
        if parts is None:
            return {}
        did, why = await parts.mend(), ""
        try:
            did += await parts.whole()
            await until(self._well, _WELL_S, "every service, agent and host of the cloud is well", _LOOK_S)
        except Problem as problem:
            ill = await asyncio.to_thread(ailing, self._resources.cloud.impatient())
            why = "; ".join(ill) or str(problem).splitlines()[0]
            await parts.rebuild()
            self._ground = await asyncio.to_thread(self._resources.ground, self._boot)
        else:
            known = {one["id"] for one in await asyncio.to_thread(self._servers)}
            did += await end_orphans(parts, known)
            did += await unplug_orphans(parts, known)
            did += await asyncio.to_thread(self._resources.free_volumes, known)
        self._suspect = False
        return {"lab": "rebuilt" if why else "healed", "did": did, "why": why}

    def _servers(self) -> list[dict[str, Any]]:
        return list(self._resources.cloud.listed("/servers?all_tenants=1", "servers"))

    async def _well(self) -> bool:
        return not await asyncio.to_thread(ailing, self._resources.cloud.impatient())

    async def create_fleet(self, factors: Factors, host: str, folder: Path, requests_per_s: float) -> CloudFleet:
        """As many servers on `host` as the factors say, made together; the caller destroys them."""
        folder.mkdir(exist_ok=True)
        resources, prefix = self._resources, f"{self._register.id}-{folder.name}"
        settings = await self._reach.configure(factors)
        flavor = await asyncio.to_thread(resources.flavor, factors.memory_bytes, factors.vcpus)
        links = []
        if self._reach.fabric is not None:
            config = {"ports": dict(self._reach.ports), "interval_s": 0.1}
            links = [Member("link", "migrascope.probe.link", "fabric", self._reach.fabric, config)]
        fleet = CloudFleet(resources, prefix, factors.instances, Pace(requests_per_s), links, settings)
        making = asyncio.ensure_future(asyncio.to_thread(fleet.make, self._ground, flavor, host))
        try:
            await asyncio.shield(making)
        except BaseException:
            await asyncio.wait([making])
            await fleet.destroy()
            raise
        return fleet


def hypervisors(cloud: Cloud) -> tuple[str, str]:
    """Two hosts that are up, by name; two empty names where the cloud does not tell us, and Compute has to choose.
    CloudError when there is one only."""
    try:
        found = cloud.compute("GET", "/os-hypervisors")["hypervisors"]
    except CloudError as error:
        if error.status == 403:
            return ("", "")
        raise
    names = sorted(one["hypervisor_hostname"] for one in found if (one["state"], one["status"]) == ("up", "enabled"))
    if len(names) < 2:
        raise CloudError(f"cloud {cloud.name} has {len(names)} host(s) that are up and enabled; a migration needs two")
    return (names[0], names[1])


def ailing(cloud: Cloud) -> list[str]:
    """What of the cloud's services, agents and hosts is not well, in words; blocks."""
    try:
        services = cloud.compute("GET", "/os-services")["services"]
        network, storage = cloud.connection.network, cloud.connection.block_storage
        found = [f"{one['binary']} on {one['host']} is {one['state']}" for one in services if one["state"] != "up"]
        agents = cloud.idempotent(lambda: list(network.agents()))
        found += [f"{one.binary} on {one.host} is not alive" for one in agents if not one.is_alive]
        volumes = cloud.idempotent(lambda: list(storage.services()))
        return found + [f"{one.binary} on {one.host} is {one.state}" for one in volumes if one.state != "up"]
    except CloudError as error:
        return [str(error)]


def versions(cloud: Cloud) -> dict[str, Any]:
    """What the cloud says of itself: Compute's newest microversion, and the hypervisors' versions where it tells us."""
    data = cloud.idempotent(lambda: cloud.connection.compute.get_endpoint_data())
    newest = ".".join(map(str, data.max_microversion)) if data is not None and data.max_microversion else None
    found: dict[str, Any] = {"compute_api": newest, "qemu": None, "accelerator": None}
    with contextlib.suppress(CloudError):
        one = cloud.compute("GET", "/os-hypervisors/detail")["hypervisors"][0]
        number = int(one["hypervisor_version"])
        found["qemu"] = f"{number // 10**6}.{number // 1000 % 1000}.{number % 1000}"
        found["accelerator"] = {"QEMU": "tcg", "KVM": "kvm"}.get(one["hypervisor_type"], one["hypervisor_type"])
    return found
