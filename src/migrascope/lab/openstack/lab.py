"""A cloud as a lab: its hosts are the cloud's, its instances servers on volumes, migrated through the API."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from migrascope.cloud.client import Cloud, CloudError
from migrascope.cloud.pace import Pace
from migrascope.lab.boot_image import BootImage
from migrascope.lab.openstack import leftovers
from migrascope.lab.openstack.access import CloudAccess
from migrascope.lab.openstack.fleet import CloudFleet
from migrascope.lab.openstack.instance import CloudInstance, login
from migrascope.lab.openstack.ipv6 import need_way
from migrascope.lab.openstack.ownership import InstanceRequest
from migrascope.lab.openstack.resources import Ground, Resources
from migrascope.model.schedule import Factors
from migrascope.node.machine import machine_tag
from migrascope.node.namespace import Namespace
from migrascope.node.process_spec import ProcessSpec
from migrascope.node.register import Register
from migrascope.node.takedown import Cleaned, remove


class OpenstackLab:
    """A cloud in which instances can be made. Use `OpenstackLab.up`; what it made goes when it ends."""

    def __init__(
        self, resources: Resources, ground: Ground, access: CloudAccess, register: Register, hosts: tuple[str, str],
        clouds_yaml: Path | None, vcpus: int, facts: dict[str, Any], boot: BootImage,
    ) -> None:  # fmt: skip
        self._boot = boot
        self._resources, self._ground, self._access, self._register = resources, ground, access, register
        self._clouds_yaml, self._vcpus = clouds_yaml, vcpus
        self.hosts, self.facts, self.origin = hosts, facts, access.origin

    @property
    def folder(self) -> Path:
        return self._register.folder

    @property
    def client(self) -> Namespace | None:
        return self._access.client

    @classmethod
    @contextlib.asynccontextmanager
    async def up(
        cls,
        cloud: Cloud,
        clouds_yaml: Path | None,
        wanted: InstanceRequest,
        boot: BootImage,
        access: CloudAccess,
        *,
        vcpus: int = 1,
    ) -> AsyncIterator["OpenstackLab"]:  # fmt: skip
        """The cloud's image and networks, found, and a security group of the run's own. wanted: its `run` and `machine`
        are filled in. What runs of this machine that were killed left there is removed first. CloudError says what the
        cloud lacks."""
        register = Register.create()
        try:
            machine = machine_tag()
            left = (await asyncio.to_thread(leftovers.find, cloud, machine)).left
            await asyncio.to_thread(leftovers.remove, cloud, left)
            request = replace(wanted, run=register.id, machine=machine)
            resources = Resources(cloud, request)
            hosts = await asyncio.to_thread(hypervisors, cloud)
            facts = {"lab": "openstack", "cloud": cloud.name, **await asyncio.to_thread(versions, cloud)}
            await access.ready()
            ground = await asyncio.to_thread(resources.ground, boot)
            try:
                if ground.prefix6:
                    await asyncio.to_thread(need_way, access.client, ground.prefix6)
                yield cls(resources, ground, access, register, hosts, clouds_yaml, vcpus, facts, boot)
            finally:
                with contextlib.suppress(CloudError):  # the next run, or clean, finds it
                    await asyncio.to_thread(resources.leave, ground)
        finally:
            remove(register, Cleaned())

    async def create(self, name: str, factors: Factors, host: str, folder: Path) -> CloudInstance:
        """A server with its website on `host`; the caller destroys it."""
        folder.mkdir(exist_ok=True)
        resources, name = self._resources, f"{self._register.id}-{folder.name}"
        settings = await self._access.configure(factors)
        flavor = await asyncio.to_thread(resources.flavor, factors.memory_bytes, self._vcpus)
        making = asyncio.ensure_future(asyncio.to_thread(resources.make, name, self._ground, flavor, host))
        try:
            made = await asyncio.shield(making)
        except asyncio.CancelledError:
            with contextlib.suppress(CloudError):
                await making
                await asyncio.to_thread(resources.remove, name)
            raise
        return self._instance((name, made, resources, self._access, settings, self._login), factors, host, folder)

    def _instance(self, given: tuple[Any, ...], factors: Factors, host: str, folder: Path) -> CloudInstance:
        """given: what a CloudInstance is made with."""
        return CloudInstance(*given)

    @property
    def _login(self) -> dict[str, Any]:
        return login(self._resources.cloud.name, self._clouds_yaml)

    async def create_fleet(self, factors: Factors, host: str, folder: Path, requests_per_s: float) -> CloudFleet:
        """As many servers on `host` as the factors say, made together; the caller destroys them."""
        folder.mkdir(exist_ok=True)
        resources, prefix = self._resources, f"{self._register.id}-{folder.name}"
        settings = await self._access.configure(factors)
        flavor = await asyncio.to_thread(resources.flavor, factors.memory_bytes, factors.vcpus)
        links = []
        if self._access.fabric is not None:
            config = {"ports": dict(self._access.ports), "interval_s": 0.1}
            links = [ProcessSpec("link", "migrascope.probe.link", "fabric", self._access.fabric, config)]
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
    names = sorted(
        hypervisor["hypervisor_hostname"]
        for hypervisor in found
        if (hypervisor["state"], hypervisor["status"]) == ("up", "enabled")
    )
    if len(names) < 2:
        raise CloudError(f"cloud {cloud.name} has {len(names)} host(s) that are up and enabled; a migration needs two")
    return (names[0], names[1])


def versions(cloud: Cloud) -> dict[str, Any]:
    """What the cloud says of itself: Compute's newest microversion, and the hypervisors' versions where it tells us."""
    data = cloud.idempotent(lambda: cloud.connection.compute.get_endpoint_data())
    newest = ".".join(map(str, data.max_microversion)) if data is not None and data.max_microversion else None
    found: dict[str, Any] = {"compute_api": newest, "qemu": None, "accelerator": None}
    with contextlib.suppress(CloudError):
        hypervisor = cloud.compute("GET", "/os-hypervisors/detail")["hypervisors"][0]
        number = int(hypervisor["hypervisor_version"])
        found["qemu"] = f"{number // 10**6}.{number // 1000 % 1000}.{number % 1000}"
        found["accelerator"] = {"QEMU": "tcg", "KVM": "kvm"}.get(
            hypervisor["hypervisor_type"], hypervisor["hypervisor_type"]
        )
    return found
