"""Which accelerator runs a guest of ours on hosts of others: KVM only after a boot on each has proved it, for libvirt
offers it wherever /dev/kvm opens."""

import contextlib
from dataclasses import replace
from xml.etree.ElementTree import fromstring, tostring

from migrascope.lab.hosts.pair import Pair
from migrascope.lab.libvirt.connection import LibvirtError
from migrascope.lab.libvirt.domain import DomainSpec, xml
from migrascope.lab.libvirt.placed import GONE, Placed
from migrascope.model.problem import Problem
from migrascope.node.wait import WaitTimeout, wait_until

_ENOUGH_S, _LOOK_S = 20.0, 0.2


async def works(pair: Pair, host: str, spec: DomainSpec) -> bool:
    """Whether a guest's kernel comes up on a host so far that it misses its root file system, and ends."""
    domain = Placed(pair.connections, spec.uuid)
    try:
        await pair.connections[host].call("createXML", _without_disk(spec), 0)
    except LibvirtError:
        return False

    async def ended() -> bool:
        return await domain.state(host) == GONE

    try:
        await wait_until(ended, _ENOUGH_S, "the guest's kernel ends", _LOOK_S)
        return True
    except WaitTimeout:
        return False
    finally:
        with contextlib.suppress(LibvirtError):  # it has ended
            await domain.call(host, "destroy")


def _without_disk(spec: DomainSpec) -> str:
    """The guest, whose kernel finds nothing to go on with, and ends at once."""
    root = fromstring(xml(replace(spec, image=replace(spec.image, kernel_line="console=ttyS0 panic=-1"))))
    for path, child in (("devices", "disk"), ("devices", "interface"), ("os", "initrd")):
        parent = root.find(path)
        assert parent is not None
        for found in parent.findall(child):
            parent.remove(found)
    return tostring(root, encoding="unicode")


async def choose(wanted: str, pair: Pair, spec: DomainSpec) -> str:
    """Gives "kvm" if a boot on both hosts proves it, else "tcg"; wanted may be "auto". spec: a guest as it would be.
    Problem when "kvm" is wanted and runs no guest on a host."""
    if wanted == "tcg":
        return wanted
    for host in pair.connections:
        if not await works(pair, host, replace(spec, accelerator="kvm")):
            if wanted == "kvm":
                raise Problem(f'no guest boots under KVM on {host}\n  next: leave lab.accelerator = "auto"')
            return "tcg"
    return "kvm"
