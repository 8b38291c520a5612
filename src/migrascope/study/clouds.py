"""Runs on OpenStack: the testbed, with its hosts and links in reach, or any cloud in clouds.yaml by its API."""

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from migrascope.cloud.client import Cloud
from migrascope.guest.image import ROOT as GUEST_ROOT
from migrascope.guest.image import GuestImage, cloud_kernel_line, guest_image
from migrascope.lab.bootimage import BootImage
from migrascope.lab.hostimage import HOST
from migrascope.lab.injectors.wires import Wires
from migrascope.lab.offline import OfflineVolume, examine
from migrascope.lab.openstack.lab import OpenstackLab
from migrascope.lab.openstack.parts import Parts
from migrascope.lab.openstack.policy import settings
from migrascope.lab.openstack.reach import Host, Reach
from migrascope.lab.openstack.wishes import Wishes
from migrascope.model.name import FOREIGN, named
from migrascope.model.plan import Plan
from migrascope.model.problem import Problem
from migrascope.model.schedule import Factors
from migrascope.node import within
from migrascope.node.namespace import Namespace
from migrascope.node.process import Where
from migrascope.node.register import Register
from migrascope.store.removal import remove_tree
from migrascope.study import testbeds
from migrascope.study.healing import Healer
from migrascope.study.images import roots
from migrascope.study.labs import Progress, Trials, Up
from migrascope.testbed.roles.keystone import CLOUD
from migrascope.testbed.settings import CONTROLLER, address
from migrascope.testbed.status import Status
from migrascope.testbed.testbed import Testbed
from migrascope.testbed.volume import export
from migrascope.trial.engine import TrialEngine
from migrascope.trial.fit import Fit
from migrascope.trial.fleet import FleetEngine
from migrascope.trial.origin import origin

_DOWNTIME_FLOOR_S = 0.1
"""Nova's least live_migration_downtime."""


@contextlib.asynccontextmanager
async def cloud_trials(plan: Plan, progress: Progress) -> AsyncIterator[Up]:
    """The plan's cloud as something that runs trials; beside it what the manifest says of it. A testbed that is down is
    brought up, and stays up."""
    host_root, _ = await roots([HOST, GUEST_ROOT], progress.step, progress.waiting)
    guest = await guest_image(host_root, say=progress.step)
    if plan.cloud.name:
        async with _foreign(plan, guest, host_root, progress) as found:
            yield found
    else:
        async with _testbed(plan, guest, host_root, progress) as found:
            yield found


def _up(lab: OpenstackLab, plan: Plan, guest: GuestImage, progress: Progress) -> Up:
    """Fleets are probed but not visited: no load is to be found for them."""

    def trials(loaded: Plan) -> Trials:
        if loaded.fleet.count:
            return FleetEngine(lab, loaded, progress.phase).run
        return TrialEngine(lab, loaded, progress.phase, guest.site).run

    fit = None if plan.fleet.count else lambda loaded: Fit(lab, loaded, progress.waiting).find()
    return Up(lab.facts | {"guest": guest.hash}, trials, fit)


def _wishes(plan: Plan) -> Wishes:
    cloud = plan.cloud
    return Wishes("", "", cloud.image, cloud.flavor, cloud.network, cloud.external)


def _boot(guest: GuestImage, origin_address: str) -> BootImage:
    return BootImage(guest.kernel, guest.initrd, guest.disk, cloud_kernel_line(origin_address or "127.0.0.1"))


@contextlib.asynccontextmanager
async def _testbed(plan: Plan, guest: GuestImage, host_root: Path, progress: Progress) -> AsyncIterator[Up]:
    testbed = Testbed(plan.cloud.testbed)
    found = await testbeds.status(testbed) if testbed.made else Status()
    if not found.healthy:
        found = await testbeds.up(testbed, "auto", progress.step, progress.waiting)
    if not found.healthy:
        raise Problem(f"the testbed {testbed.name} is not healthy\n  next: migrascope testbed status")
    clouds_yaml = testbeds.clouds_yaml(testbed)
    cloud = Cloud.connect(CLOUD, clouds_yaml)
    spaces, where = testbed.topology.namespaces, address("origin", "external")
    boot, vcpus = _boot(guest, where), plan.instance.vcpus
    async with OpenstackLab.up(
        cloud, clouds_yaml, _wishes(plan), boot, _reach(testbed, host_root, plan, progress.step), vcpus=vcpus
    ) as lab:
        Register(lab.folder).uses(host_root, guest.disk)
        lab.facts |= {"accelerator": "kvm" if testbed.settings.virt_type == "kvm" else "tcg"}
        async with origin(spaces["origin"], where, host_root, guest.live_loop, lab.folder / "origin"):
            yield _up(lab, plan, guest, progress)


def _parts(testbed: Testbed, say: Callable[[str], None]) -> Parts:
    topology, healer = testbed.topology, Healer(testbed, say)
    return Parts(
        Wires(topology.fabric, topology.links, topology.namespaces), testbed.nodes, CONTROLLER, address, healer.boot,
        healer.mend, healer.whole, healer.rebuild,
    )  # fmt: skip


def _reach(testbed: Testbed, host_root: Path, plan: Plan, say: Callable[[str], None]) -> Reach:
    topology, policies = testbed.topology, plan.chosen_policies()
    python = ("setpriv", "--pdeathsig", "KILL", "python3")
    hosts = {
        name: Host("qemu:///system", within.command(topology.namespaces[name], python), topology.namespaces[name])
        for name in testbed.nodes
    }

    async def configure(factors: Factors) -> dict[str, Any]:
        topology.set_rate("migration", factors.link_bps)
        limit_ms = round(1000 * max(_DOWNTIME_FLOOR_S, factors.downtime_limit_s))
        wanted = {"downtime_ms": limit_ms, "max_concurrent": plan.fleet.max_concurrent}
        await testbeds.set_migration(testbed, settings(policies[factors.policy]) | wanted)
        nova = vars(testbed.settings.migration)
        return {"nova": dict(nova), "links": {name: link.rate_bps for name, link in topology.links.items()}}

    ports = {port.port: (link.name, node) for link in topology.links.values() for node, port in link.ports.items()}

    async def volume(name: str) -> OfflineVolume:
        folder = testbed.folder / f"offline-{named('volume', name, FOREIGN)}"
        folder.mkdir()
        try:
            await export(testbed, name, folder / "disk")
            return await examine(folder / "disk", Where(None, host_root), folder)
        finally:
            remove_tree(folder, testbed.folder)

    return Reach(
        hosts, topology.namespaces["client"], address("origin", "external"), topology.fabric, ports,
        ceph=hosts[CONTROLLER].python, volume=volume, configure=configure,
        parts=_parts(testbed, say), policies=policies,
    )  # fmt: skip


@contextlib.asynccontextmanager
async def _foreign(plan: Plan, guest: GuestImage, host_root: Path, progress: Progress) -> AsyncIterator[Up]:
    wanted = plan.cloud
    cloud = Cloud.connect(wanted.name)
    client = Namespace(wanted.visitors) if wanted.visitors else None
    hosts = {name: Host(uri, ("/usr/bin/python3",)) for name, uri in wanted.hosts.items()}
    policies = plan.chosen_policies()

    async def stated(factors: Factors) -> dict[str, Any]:
        said = "policy" in plan.axes.model_fields_set
        return {"stated": settings(policies[factors.policy])} if said else {}

    reach = Reach(hosts=hosts, client=client, origin=wanted.origin, configure=stated, policies=policies)
    boot, vcpus = _boot(guest, wanted.origin), plan.instance.vcpus
    async with contextlib.AsyncExitStack() as stack:
        up = OpenstackLab.up(cloud, None, _wishes(plan), boot, reach, vcpus=vcpus)
        lab = await stack.enter_async_context(up)
        Register(lab.folder).uses(host_root, guest.disk)
        if wanted.origin:
            folder, where = lab.folder / "origin", f"namespace {wanted.visitors}" if client else "this machine"
            progress.step(f"serving the live stream at {wanted.origin}:80 of {where}, to all who reach it")
            await stack.enter_async_context(origin(client, wanted.origin, host_root, guest.live_loop, folder))
        yield _up(lab, plan, guest, progress)
