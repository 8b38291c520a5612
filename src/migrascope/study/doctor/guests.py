"""Whether a domain fits the host that it would be migrated to: its processor, its disks, its networks."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from xml.etree.ElementTree import Element, fromstring, tostring

from migrascope.lab.hosts.pair import Pair, virsh
from migrascope.lab.libvirt.connection import LibvirtError
from migrascope.study.doctor.machine import Check

_INCOMPATIBLE, _IDENTICAL = 0, 1
"""virCPUCompareResult; what is greater is a superset."""
_UNSAFE = "libvirt refuses the migration where it finds no shared storage"


@dataclass(frozen=True)
class Guest:
    """A domain by its definition."""

    xml: Element

    @property
    def machine(self) -> tuple[str, str, str]:
        """Architecture, machine type, and the type of the domain: kvm or qemu."""
        kind = self.xml.find("os/type")
        words = ("", "") if kind is None else (kind.get("arch", ""), kind.get("machine", ""))
        return (*words, self.xml.get("type", ""))

    def disks(self) -> Iterator[tuple[str, str]]:
        """(target, source) of each that has one: a path, or what begins with a protocol."""
        for disk in self.xml.iterfind("devices/disk"):
            source, target = disk.find("source"), disk.find("target")
            if source is None or not source.attrib:
                continue
            name = target.get("dev", "?") if target is not None else "?"
            if disk.get("type") == "network":
                yield name, f"{source.get('protocol')}:{source.get('name', '')}"
            elif disk.get("type") == "volume":
                yield name, f"volume {source.get('pool')}/{source.get('volume')}"
            else:
                yield name, source.get("file") or source.get("dev") or source.get("dir") or "?"

    def links(self) -> Iterator[tuple[str, str]]:
        """(kind, name) of what each interface is joined to: ("network", "default"), ("bridge", "br0")."""
        for interface in self.xml.iterfind("devices/interface"):
            source = interface.find("source")
            kind = interface.get("type", "?")
            name = "" if source is None else source.get(kind) or source.get("dev") or ""
            yield kind, name


async def fits(guest: Guest, pair: Pair, source: str, destination: str) -> list[Check]:
    """A check for each thing that the destination has to have."""
    return [
        _qemu(pair, source, destination),
        await _processor(guest, pair, source, destination),
        *[check async for check in _disks(guest, pair, source, destination)],
        *[check async for check in _links(guest, pair, destination)],
    ]


def _qemu(pair: Pair, source: str, destination: str) -> Check:
    here, there = (pair.connections[host].versions["qemu"] for host in (source, destination))
    if here == there:
        return Check("QEMU's versions", "pass", "the same on both")
    remedy = "libvirt says which machine types each has: virsh capabilities"
    older = destination if there < here else source
    return Check(
        "QEMU's versions", "unknown", f"{older} has the older one: the way to it may fail", remedy, needed=False
    )


async def _processor(guest: Guest, pair: Pair, source: str, destination: str) -> Check:
    """By libvirt's own comparison on the destination."""
    name, to = "processor", pair.connections[destination]
    cpu = guest.xml.find("cpu")
    arch, machine, kind = guest.machine
    try:
        if cpu is not None and cpu.get("mode") == "host-passthrough":
            host = fromstring(await pair.connections[source].call("getCapabilities")).find("host/cpu")
            text, what = "" if host is None else tostring(host, encoding="unicode"), "the host's own"
            result = await to.call("compareCPU", text, 0)
        elif cpu is not None:
            text, what = tostring(cpu, encoding="unicode"), cpu.findtext("model") or cpu.get("mode") or "its model"
            result = await to.call("compareHypervisorCPU", None, arch, machine, kind, text, 0)
        else:
            return Check(name, "unknown", "its definition names none", needed=False)
    except LibvirtError as error:
        words = f"{what}: {destination} does not compare it: {error.words}"
        return Check(name, "unknown", words, "libvirt compares it again when it migrates", needed=False)
    if result == _INCOMPATIBLE:
        remedy = "a model that both have: virsh hypervisor-cpu-baseline"
        return Check(name, "fail", f"{what}: {destination} lacks features of it", remedy)
    return Check(name, "pass", f"{what}: {destination} has {'the same' if result == _IDENTICAL else 'all of it'}")


async def _disks(guest: Guest, pair: Pair, source: str, destination: str) -> AsyncIterator[Check]:
    for target, path in guest.disks():
        name = f"disk {target}"
        if ":" in path.partition("/")[0]:
            yield Check(name, "pass", f"{path}, over the network")
            continue
        here, there = [await _volume(pair, host, path) for host in (source, destination)]
        if here is None or there is None:
            unknown = source if here is None else destination
            remedy = f"ls -li {path} on both: the same inode and size where it is shared"
            words = f"{path}: no pool of {unknown} has it; {_UNSAFE}"
            yield Check(name, "unknown", words, remedy, needed=False)
        elif here != there:
            remedy = "shared storage, at the same path on both"
            yield Check(name, "fail", f"{path}: {here} bytes on {source}, {there} on {destination}", remedy)
        else:
            yield Check(name, "pass", f"{path}: {here} bytes on both; {_UNSAFE}")


async def _volume(pair: Pair, host: str, path: str) -> int | None:
    """Its capacity by the host's storage pools; None where none has it."""
    try:
        return int((await pair.connections[host].call("info", on=("volume", path)))[1])
    except LibvirtError:
        return None


async def _links(guest: Guest, pair: Pair, destination: str) -> AsyncIterator[Check]:
    for kind, name in guest.links():
        yield await _link(pair, destination, kind, name)


async def linked(pair: Pair, kind: str, name: str) -> AsyncIterator[Check]:
    """Whether each host has what an interface is to join: kind "network" or "bridge", and its name."""
    for host in pair.connections:
        yield await _link(pair, host, kind, name)


async def _link(pair: Pair, host: str, kind: str, name: str) -> Check:
    to, uri, what = pair.connections[host], pair.uris[host], f"{kind} {name}".strip()
    if kind == "network":
        try:
            active = await to.call("isActive", on=("network", name))
        except LibvirtError as error:
            return Check(what, "fail", f"{host}: {error.words}", virsh(uri, "net-list --all"))
        words = f"{host} has it, {'active' if active else 'not active'}"
        return Check(what, "pass" if active else "fail", words, virsh(uri, f"net-start {name}"))
    if kind == "bridge" and name in await _interfaces(pair, host):
        return Check(what, "pass", f"{host} has it")
    if kind in ("user", "passt"):
        return Check(what, "fail", "its connections do not outlive a migration", needed=False)
    words = f"libvirt on {host} does not say whether it has it; without it the migration fails"
    return Check(what, "unknown", words, f"ip link show {name} on {host}", needed=False)


async def _interfaces(pair: Pair, host: str) -> list[str]:
    """Those of which the host's libvirt knows; empty where it knows of none."""
    try:
        return list(await pair.connections[host].call("listInterfaces"))
    except LibvirtError:
        return []
