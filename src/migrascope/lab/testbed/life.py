"""The testbed as a user has it: its images, how guests run here, its services as tasks, where its cloud is found."""

import contextlib
import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from migrascope.guest.image import ROOT as GUEST_ROOT
from migrascope.guest.image import cloud_kernel_line, guest_image
from migrascope.lab.accelerator import choose
from migrascope.lab.host_image import HOST
from migrascope.lab.testbed.injectors.recovery import whole
from migrascope.model.family import FIRST, SECOND
from migrascope.model.network import Activation, FloatingIps, Network, Tenant
from migrascope.model.problem import Problem, UsageProblem
from migrascope.node.container import inits
from migrascope.node.image import is_built, roots
from migrascope.node.namespace import has_ipv6
from migrascope.node.paths import STATE, TESTBEDS
from migrascope.node.register import Register, registers
from migrascope.node.takedown import Cleaned, remove
from migrascope.node.wait import WaitTimeout, wait_until
from migrascope.store.atomic import write_whole
from migrascope.store.removal import NotRemoved, remove_tree
from migrascope.testbed import relay
from migrascope.testbed.datapath import kernel_lacks
from migrascope.testbed.needs import MEMORY_BYTES, missing
from migrascope.testbed.packages import NODE
from migrascope.testbed.roles import all_tasks
from migrascope.testbed.roles.keystone import CLOUD, clouds
from migrascope.testbed.runner import Progress
from migrascope.testbed.secrets import Secrets
from migrascope.testbed.settings import CONTROLLER, TENANTS, Migration, Settings, address
from migrascope.testbed.status import Status, look, memory_bytes
from migrascope.testbed.task import Task
from migrascope.testbed.testbed import Images, Testbed

CLOUDS = STATE / "clouds"
VirtType = Literal["auto", "kvm", "qemu"]
NOTHING: Mapping[str, Any] = MappingProxyType({})
_HEALTHY_S = 60.0
_ANSWERS_S = 120
# The uptime of a host is asked of its nova-compute.
_ANSWERS = f"""
import sys, time
import openstack
cloud, deadline = openstack.connect(cloud=sys.argv[1]), time.monotonic() + {_ANSWERS_S}
while True:
    answer = cloud.compute.get("/os-hypervisors/detail", microversion="2.88")
    if answer.ok and all(host.get("uptime") for host in answer.json()["hypervisors"]):
        break
    if time.monotonic() > deadline:
        raise SystemExit("nova-compute does not answer in {_ANSWERS_S} s: " + answer.text)
    time.sleep(0.5)
"""


def tasks(settings: Settings, secrets: Secrets) -> list[Task]:
    """All that brings a testbed up."""
    return all_tasks(settings, secrets, cloud_kernel_line(address("origin", "external")))


def clouds_yaml(testbed: Testbed) -> Path:
    """Where the testbed's clouds.yaml is while there is one."""
    return CLOUDS / testbed.name / "clouds.yaml"


async def up(
    testbed: Testbed,
    virt_type: VirtType,
    say: Progress,
    meanwhile: Progress,
    *,
    network: Network | None = None,
    tenant: Tenant | None = None,
    activation: Activation | None = None,
    floating_ips: FloatingIps | None = None,
    migration: Mapping[str, Any] = NOTHING,
) -> Status:
    """Builds what the cache has not, brings the testbed up, and gives its status as soon as it is healthy, or a minute
    later. network, tenant, activation, floating_ips: None leaves it as it is; at first agents, the network's own
    default, rarp, and centralized. migration: see set_migration. Problem says what this machine lacks, before anything
    is changed."""
    known = testbed.settings.migration if testbed.made else Migration()
    wanted = replace(known, **migration)
    first: Network = network or "agents"
    fresh: dict[str, Any] = {
        "network": first,
        "tenant": tenant or TENANTS[first][0],
        "activation": activation or "rarp",
        "floating_ips": floating_ips or "centralized",
        "migration": wanted,
    }
    if not testbed.made:
        replace(Settings(), **fresh)  # refuses what does not go together
    running = testbed.made and any(node.pid() is not None for node in testbed.nodes.values())
    to_build = sum(recipe.wanted_bytes for recipe in (NODE, HOST, GUEST_ROOT) if not is_built(recipe))
    if not running and (lacking := missing(images_bytes=to_build, claimed_bytes=_claimed_bytes(testbed))):
        raise Problem("this machine cannot run the testbed:\n  " + "\n  ".join(lacking))
    node, host, _ = await roots([NODE, HOST, GUEST_ROOT], say, meanwhile)
    guest = await guest_image(host, say=say)
    made = testbed.made
    settings = await _settings(testbed, virt_type, host, guest.kernel)
    if not made:
        settings = replace(settings, **fresh)
        if lacks := kernel_lacks(settings.tenant):
            say(f"Open vSwitch switches in user space: this machine's kernel lacks {' and '.join(lacks)}")
        else:
            settings = replace(settings, datapath="system")
    for given, has, what in (
        (network, settings.network, "ports of the testbed {} are wired by {}"),
        (tenant, settings.tenant, "networks of the testbed {} are on {}"),
        (activation, settings.activation, "ports of the testbed {} are activated by {}"),
        (floating_ips, settings.floating_ips, "floating IPs of the testbed {} are {}"),
    ):
        if given not in (None, has):
            raise UsageProblem(
                f"the {what.format(testbed.name, has)}\n  next: migrascope testbed down --purge --name {testbed.name}"
            )
    await testbed.up(settings, Images(node, guest.kernel.parent), tasks, say)
    if made:
        with contextlib.suppress(Problem):  # what Ceph lacks is seen below
            await whole(testbed.nodes[CONTROLLER], _HEALTHY_S)
        await set_migration(testbed, migration)
    _write_clouds(testbed)
    found = Status()

    async def healthy() -> bool:
        nonlocal found
        found = await status(testbed)
        return found.healthy

    with contextlib.suppress(WaitTimeout):
        await wait_until(healthy, _HEALTHY_S, "the testbed is healthy", 1)
    return found


def _claimed_bytes(own: Testbed) -> int:
    """What the other testbeds that run may still take of the memory, one that is only coming up above all."""
    claimed = 0
    for other in _made():
        inodes = [inode for space in other.topology.namespaces.values() if (inode := space.inode()) is not None]
        pids = [pid for inode in inodes for pid in inits(inode)]
        if other.name != own.name and pids:
            claimed += max(0, MEMORY_BYTES - sum(map(memory_bytes, pids)))
    return claimed


def _made() -> list[Testbed]:
    names = [register.id.removeprefix("ms-") for register in registers(TESTBEDS)]
    return [each for each in map(Testbed, names) if each.made]


async def _settings(testbed: Testbed, virt_type: VirtType, host: Path, kernel: Path) -> Settings:
    if testbed.made:
        known = testbed.settings
        if virt_type not in ("auto", known.virt_type):
            raise UsageProblem(
                f"guests of the testbed {testbed.name} run under {known.virt_type}\n"
                f"  next: migrascope testbed down --purge --name {testbed.name}"
            )
        return known
    wanted = "tcg" if virt_type == "qemu" else virt_type
    register = Register.create()  # so that `migrascope clean` finds what a kill leaves
    try:
        accelerator = await choose(wanted, "/usr/bin/qemu-system-x86_64", host, kernel, register.folder)
    finally:
        remove(register, Cleaned())
    return Settings(
        name=testbed.name,
        loopback=_free_loopback(),
        virt_type="kvm" if accelerator == "kvm" else "qemu",
        families=(FIRST, SECOND) if has_ipv6() else (FIRST,),
    )


def _free_loopback() -> str:
    taken = set()
    for other in _made():
        with contextlib.suppress(UsageProblem):  # purged at this moment
            taken.add(other.settings.loopback)
    addresses = (f"127.77.0.{number}" for number in range(1, 255))
    found = next((address for address in addresses if address not in taken and relay.free(address)), None)
    if found is None:
        raise Problem("no address of 127.77.0.0/24 is free for the testbed's APIs\n  next: ss -ltnp")
    return found


def _write_clouds(testbed: Testbed) -> None:
    """Writes clouds.yaml at once as a whole, for the user who called sudo alone."""
    path = clouds_yaml(testbed)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, clouds(Secrets.of(testbed.folder / "secret"), testbed.settings.loopback), 0o600)


async def start_node(testbed: Testbed, name: str, say: Progress) -> None:
    """Boots a node that was stopped and starts its services."""
    await testbed.start_node(name, tasks, say)


async def set_migration(testbed: Testbed, changes: Mapping[str, Any]) -> None:
    """Changes some of Nova's settings of live migrations, by the names of testbed.settings.Migration."""
    known = testbed.settings
    migration = replace(known.migration, **changes)
    if migration != known.migration:
        await testbed.change(replace(known, migration=migration), tasks, ("nova-compute.service",))
        # A server that is asked for before it answers is taken for one whose build it interrupted, and ends in ERROR.
        await testbed.nodes[CONTROLLER].run(["python3", "-c", _ANSWERS, CLOUD], timeout_s=2 * _ANSWERS_S)


def purge(testbed: Testbed) -> Cleaned:
    """Removes all of a testbed, whatever state it is in. Images and the snapshot stay in the cache. UsageProblem when
    there is nothing of its name."""
    folder = clouds_yaml(testbed).parent
    if not testbed.there and not os.path.lexists(folder):
        raise testbed.unknown()
    removed = testbed.purge()
    try:
        if remove_tree(folder, CLOUDS) and testbed.register.id not in removed.labs:
            removed.labs.append(testbed.register.id)
    except NotRemoved as problem:
        removed.left.append(str(problem))
    return removed


async def status(testbed: Testbed) -> Status:
    """What it is like now. UsageProblem when there is none of its name."""
    return await look(testbed.nodes, testbed.tasks(tasks), testbed.cuts(), testbed.rates())


def as_json(testbed: Testbed, found: Status) -> dict[str, Any]:
    """What `testbed status --json` prints."""
    return {
        "schema": 1,
        "healthy": found.healthy,
        **asdict(found),
        "families": list(testbed.settings.families),
        "floating_ips": testbed.settings.floating_ips,
        "clouds_yaml": str(clouds_yaml(testbed)),
        "horizon": horizon(testbed),
    }


def horizon(testbed: Testbed) -> str:
    """The address of the testbed's Horizon on this machine."""
    return f"http://{testbed.settings.loopback}/"
