"""Runs on OpenStack: the testbed, with its hosts and links in reach, or any cloud in clouds.yaml by its API."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

from migrascope.cloud.client import Cloud
from migrascope.guest.image import ROOT as GUEST_ROOT
from migrascope.guest.image import GuestImage, cloud_kernel_line, guest_image
from migrascope.lab.boot_image import BootImage
from migrascope.lab.host_image import HOST
from migrascope.lab.openstack.access import CloudAccess, Host
from migrascope.lab.openstack.lab import OpenstackLab
from migrascope.lab.openstack.ownership import InstanceRequest
from migrascope.lab.testbed import life
from migrascope.lab.testbed.control import TestbedControl
from migrascope.lab.testbed.lab import TestbedLab
from migrascope.model.load import Load
from migrascope.model.network import NetworkLevel, Way
from migrascope.model.plan import Plan
from migrascope.model.problem import Problem
from migrascope.model.schedule import TrialSpec
from migrascope.node.image import roots
from migrascope.node.namespace import Namespace
from migrascope.node.register import Register
from migrascope.store.recording import TrialFacts
from migrascope.study.labs.labs import Progress, Trials, Up
from migrascope.testbed.roles.keystone import CLOUD
from migrascope.testbed.status import Status
from migrascope.testbed.testbed import Testbed
from migrascope.trial.engine import TrialEngine
from migrascope.trial.fit import Fit
from migrascope.trial.fleet import FleetEngine
from migrascope.trial.origin import origin


@contextlib.asynccontextmanager
async def cloud_trials(plan: Plan, progress: Progress, first: TrialSpec) -> AsyncIterator[Up]:
    """The plan's cloud as something that runs trials; beside it what the manifest says of it. A testbed that is down is
    brought up, and stays up. first: the trial that comes first, whose testbed is up first where each network has one
    of its own."""
    host_root, _ = await roots([HOST, GUEST_ROOT], progress.step, progress.waiting)
    guest = await guest_image(host_root, say=progress.step)
    if plan.cloud.name:
        async with _foreign(plan, guest, host_root, progress) as found:
            yield found
    elif plan.axes.network:
        async with _Testbeds(plan, guest, host_root, progress) as testbeds:
            now = await testbeds.of(cast(NetworkLevel, first.factors.network))
            yield Up(now.facts, testbeds.trials, now.fit and testbeds.fit)
    else:
        async with _testbed(Testbed(plan.cloud.testbed), plan, guest, host_root, progress) as found:
            yield found


class _Testbeds:
    """A testbed for each level of axes.network, one of them up: that of the trial. Use it as a context manager. A
    testbed that was not there before is purged before another comes up, so that each trial of a network finds what its
    snapshot holds; one that was there goes down."""

    def __init__(self, plan: Plan, guest: GuestImage, host_root: Path, progress: Progress) -> None:
        self._plan, self._guest, self._host_root, self._progress = plan, guest, host_root, progress
        self._stack = contextlib.AsyncExitStack()
        self._now: tuple[NetworkLevel, Up] | None = None

    async def __aenter__(self) -> "_Testbeds":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def of(self, level: NetworkLevel) -> Up:
        """The testbed of a level, up as a lab; another one goes before. Problem where it cannot be brought up."""
        if self._now is not None and self._now[0] == level:
            return self._now[1]
        self._now = None
        await self._stack.aclose()
        testbed = Testbed(f"{self._plan.cloud.testbed}-{level}")
        self._stack.push_async_callback(_purge if not testbed.made else _down, testbed)
        self._progress.step(f"the testbed of the network {level}")
        lab = _testbed(testbed, self._plan, self._guest, self._host_root, self._progress, Way.of(level))
        found = await self._stack.enter_async_context(lab)
        self._now = level, found
        return found

    def trials(self, loaded: Plan) -> Trials:
        """What runs each trial on the testbed of its network."""

        async def trial(spec: TrialSpec, folder: Path) -> TrialFacts:
            up = await self.of(cast(NetworkLevel, spec.factors.network))
            return await up.trials(loaded)(spec, folder)

        return trial

    async def fit(self, loaded: Plan) -> Load:
        """The load that fits the guest on the testbed that is up."""
        assert self._now is not None
        fit = self._now[1].fit
        assert fit is not None
        return await fit(loaded)


async def _purge(testbed: Testbed) -> None:
    await asyncio.to_thread(life.purge, testbed)


async def _down(testbed: Testbed) -> None:
    await testbed.down()


def _up(lab: OpenstackLab, plan: Plan, guest: GuestImage, progress: Progress) -> Up:
    """Fleets are probed but not visited: no load is to be found for them."""

    def trials(loaded: Plan) -> Trials:
        if loaded.fleet.count:
            return FleetEngine(lab, loaded, progress.phase).run
        return TrialEngine(lab, loaded, progress.phase, guest.site).run

    fit = None if plan.fleet.count else lambda loaded: Fit(lab, loaded, progress.waiting).find()
    return Up(lab.facts | {"guest": guest.hash}, trials, fit)


def _request(plan: Plan) -> InstanceRequest:
    cloud = plan.cloud
    families = tuple(plan.families)
    return InstanceRequest("", "", cloud.image, cloud.flavor, cloud.network, cloud.external, families)


def _boot(guest: GuestImage, origin_address: str) -> BootImage:
    return BootImage(guest.kernel, guest.initrd, guest.disk, cloud_kernel_line(origin_address or "127.0.0.1"))


@contextlib.asynccontextmanager
async def _testbed(
    testbed: Testbed, plan: Plan, guest: GuestImage, host_root: Path, progress: Progress, way: Way | None = None
) -> AsyncIterator[Up]:
    """way: of its network; None leaves it as it is."""
    found = await life.status(testbed) if testbed.made else Status()
    if not found.healthy:
        wired = way._asdict() if way else {}
        found = await life.up(testbed, "auto", progress.step, progress.waiting, **wired)
    if not found.healthy:
        raise Problem(f"the testbed {testbed.name} is not healthy\n  next: migrascope testbed status")
    clouds_yaml = life.clouds_yaml(testbed)
    cloud = Cloud.connect(CLOUD, clouds_yaml)
    control = TestbedControl(testbed, host_root, plan, progress.step)
    boot, vcpus = _boot(guest, control.origin), plan.instance.vcpus
    async with TestbedLab.over(control, cloud, clouds_yaml, _request(plan), boot, vcpus) as lab:
        Register(lab.folder).uses(host_root, guest.disk)
        lab.facts |= {"accelerator": "kvm" if testbed.settings.virt_type == "kvm" else "tcg"}
        space = testbed.topology.namespaces["origin"]
        async with origin(space, control.origin, host_root, guest.live_loop, lab.folder / "origin"):
            yield _up(lab, plan, guest, progress)


@contextlib.asynccontextmanager
async def _foreign(plan: Plan, guest: GuestImage, host_root: Path, progress: Progress) -> AsyncIterator[Up]:
    wanted = plan.cloud
    cloud = Cloud.connect(wanted.name)
    client = Namespace(wanted.visitors) if wanted.visitors else None
    hosts = {name: Host(uri, ("/usr/bin/python3",)) for name, uri in wanted.hosts.items()}
    stated = "policy" in plan.axes.model_fields_set
    access = CloudAccess(hosts, client, wanted.origin, plan.chosen_policies(), stated=stated)
    boot, vcpus = _boot(guest, wanted.origin), plan.instance.vcpus
    async with contextlib.AsyncExitStack() as stack:
        up = OpenstackLab.up(cloud, None, _request(plan), boot, access, vcpus=vcpus)
        lab = await stack.enter_async_context(up)
        Register(lab.folder).uses(host_root, guest.disk)
        if wanted.origin:
            folder = lab.folder / "origin"
            await stack.enter_async_context(origin(client, wanted.origin, host_root, guest.live_loop, folder))
        yield _up(lab, plan, guest, progress)
