"""What two libvirt hosts of others, and our rights there, allow a run: asked beforehand. Nothing is changed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from xml.etree.ElementTree import Element, fromstring

from migrascope.lab.hosts.domain import TheirDomain
from migrascope.lab.hosts.leftovers import Found, clean_command, look
from migrascope.lab.hosts.origin import origin_of
from migrascope.lab.hosts.pair import Pair, name_in, virsh
from migrascope.lab.hosts.pool import Pool
from migrascope.lab.hosts.python import PACKAGES, NoModule, python_with_libvirt
from migrascope.lab.hosts.record import Record
from migrascope.lab.hosts.way import LEAVE, need_way6
from migrascope.lab.libvirt.connection import Connection, LibvirtError, version_text
from migrascope.lab.libvirt.placed import OFF
from migrascope.model.family import FIRST, SECOND, Family
from migrascope.model.hosts import GuestPlan, HostsPlan, hosts_problem
from migrascope.model.observed import host_of
from migrascope.model.problem import Problem, UsageProblem
from migrascope.model.units import human
from migrascope.probe.peer_clock import refusal
from migrascope.study.doctor.guests import Guest, fits, linked
from migrascope.study.doctor.machine import Check
from migrascope.study.observation.observed import watched
from migrascope.study.observation.way import resolved
from migrascope.trial.origin import taken, who_listens

_MIGRATABLE = {"flags": ["VIR_DOMAIN_XML_MIGRATABLE"]}
_RUNNING = 2
"""virStoragePoolState."""
_GUEST_BYTES = 10**9
"""What a guest of ours is made of, its volume, and a copy of that."""
PORTS = "49152 to 49215"
"""To which libvirt sends by default (migration_port_min and _max in qemu.conf)."""


async def hosts_checks(
    theirs: HostsPlan, *, streamed: bool = False, families: Sequence[Family] = (FIRST,)
) -> list[Check]:
    """All that a run on these hosts needs, in the order in which it would. streamed: its pages hold the live stream.
    families: over which a guest of ours is measured. UsageProblem where the hosts, or the domain, are not named."""
    if problem := hosts_problem(theirs.hosts):
        raise UsageProblem(f"--hosts: {problem}")
    if not theirs.domain and theirs.guest is None:
        raise UsageProblem("--domain: the name of the domain that would be migrated is missing")
    page = await _page(theirs) if theirs.guest is None else []
    try:
        python = await asyncio.to_thread(python_with_libvirt)
    except NoModule:
        return [Check("libvirt's module", "fail", "no Python of this machine has it", PACKAGES), *page]
    found = [Check("libvirt's module", "pass", python), *[await reached(uri, python) for uri in theirs.hosts]]
    if not any(check.blocks for check in found):
        async with Pair.opened(theirs.hosts, python) as pair:
            if theirs.guest is None:
                found += await _of_pair(theirs, pair, python)
            else:
                found += await _of_guest(theirs, theirs.guest, pair, streamed=streamed, dual=SECOND in families)
    return [*found, *page]


async def reached(uri: str, python: str) -> Check:
    """Whether a host may be written to."""
    name, connection = f"host {name_in(uri)}", Connection(name_in(uri))
    try:
        await connection.open([python], uri, theirs=True)
    except LibvirtError as error:
        return await _read(uri, python, error)
    finally:
        await connection.close()
    libvirt, qemu = (version_text(connection.versions[what]) for what in ("libvirt", "qemu"))
    return Check(name, "pass", f"libvirt {libvirt}, QEMU {qemu}")


async def _read(uri: str, python: str, refused: LibvirtError) -> Check:
    """What a host says that refused to be written to: it may at least be read."""
    name, connection = f"host {name_in(uri)}", Connection(name_in(uri))
    try:
        await connection.open([python], uri, read_only=True, theirs=True)
    except LibvirtError:
        return Check(name, "fail", refused.words, virsh(uri, "list"))
    finally:
        await connection.close()
    return Check(name, "fail", f"may only be read: {refused.words}", "a user of the group libvirt, or root, there")


async def _of_guest(theirs: HostsPlan, guest: GuestPlan, pair: Pair, *, streamed: bool, dual: bool) -> list[Check]:
    lost = "data_transferred_bytes, and the guest's frames" + (", and what announces it" if dual else "")
    link = [check async for check in linked(pair, *guest.link)]
    return [
        await _different(pair), *[await _pool(pair, host, guest.pool) for host in pair.connections], *link,
        _stream(theirs, pair), *[check async for check in _events(pair)],
        await _address(guest, pair), *([await _address6(guest, pair)] if dual else []),
        *([_origin(guest)] if streamed else []),
        Check("not measured", "fail", f"{lost}: the links are not ours to count", needed=False),
    ]  # fmt: skip


async def _address(guest: GuestPlan, pair: Pair) -> Check:
    """Where it comes from; for DHCP by libvirt's networks, which say whether they have a server of their own."""
    if guest.address:
        found = f"{guest.address}: whether nobody has it is not asked"
        return Check("address", "unknown", found, "ping it", needed=False)
    found = f"by DHCP on the {' '.join(guest.link)}"
    without = [host for host, connection in pair.connections.items() if not await _leases(guest, connection)]
    if not without:
        return Check("address", "pass", f"{found}, whose server is libvirt's own")
    unknown = f"{found}: whether a server is there, {' and '.join(without)} cannot say"
    remedy = "libvirt.guest.address in the plan, where there is none"
    return Check("address", "unknown", unknown, remedy, needed=False)


async def _leases(guest: GuestPlan, connection: Connection) -> bool:
    """Whether libvirt's own DHCP server is on the network that it joins."""
    return any(subnet.find("dhcp") is not None for subnet in await _subnets(guest, connection, FIRST))


async def _address6(guest: GuestPlan, pair: Pair) -> Check:
    """Where that of IPv6 comes from; for one that the guest makes by libvirt's networks, which say whether they have a
    router of their own, and whether that leaves addresses to a DHCP server."""
    name = "IPv6 address"
    if guest.address6:
        try:
            need_way6(guest)
        except Problem as error:
            return _failed(name, error)
        return Check(name, "unknown", f"{guest.address6}: whether nobody has it is not asked", "ping it", needed=False)
    found = f"its own, of what a router advertises on the {' '.join(guest.link)}"
    subnets = {host: await _subnets(guest, connection, SECOND) for host, connection in pair.connections.items()}
    remedy = f"libvirt.guest.address6 in the plan, where none does; or {LEAVE}"
    given = [host for host, there in subnets.items() if any(subnet.find("dhcp") is not None for subnet in there)]
    if given:
        asked = f"on {' and '.join(given)} by DHCPv6, which the guest does not ask for"
        return Check(name, "fail", f"{found}: libvirt's own gives addresses {asked}", remedy, needed=False)
    without = [host for host, there in subnets.items() if not there]
    if not without:
        return Check(name, "pass", f"{found}, which is libvirt's own")
    unknown = f"{found}: whether one does, {' and '.join(without)} cannot say"
    return Check(name, "unknown", unknown, remedy, needed=False)


async def _subnets(guest: GuestPlan, connection: Connection, family: Family) -> list[Element]:
    """Those of a family that libvirt itself has on the network that it joins."""
    kind, name = guest.link
    if kind != "network":
        return []
    try:
        network = fromstring(await connection.call("XMLDesc", 0, on=("network", name)))
    except LibvirtError:
        return []
    return [subnet for subnet in network.findall("ip") if subnet.get("family", FIRST) == family]


def _failed(name: str, error: Problem, remedy: str = "") -> Check:
    """In the words of a problem, with the next command that it names, or else the remedy."""
    words, _, command = str(error).partition("\n  next: ")
    return Check(name, "fail", words, command or remedy)


def _origin(guest: GuestPlan) -> Check:
    """Where the live stream comes from. Whether the guest reaches that the first trial tells."""
    name, remedy = "live stream", 'another address of this machine, or port: libvirt.guest.origin = "ADDRESS:PORT"'
    try:
        address, port = origin_of(guest)
    except Problem as error:
        return _failed(name, error)
    if refused := taken(address, port):
        return Check(name, "fail", f"nothing can listen on {refused}", f"{who_listens(port)}; {remedy}")
    found = f"from {address}:{port} of this machine, while a trial runs, for its guest alone; the first trial tries it"
    return Check(name, "unknown", found, f"a firewall has to let it in; {remedy}", needed=False)


async def _pool(pair: Pair, host: str, name: str) -> Check:
    what, show = f"pool {name} on {host}", virsh(pair.uris[host], "pool-list --all --details")
    try:
        folder = await Pool(pair.connections[host], name).folder()
        state, _, _, free = await pair.connections[host].call("info", on=("pool", name))
    except LibvirtError as error:
        return Check(what, "fail", error.words, show)
    except Problem as error:
        return Check(what, "fail", str(error), show)
    if state != _RUNNING:
        return Check(what, "fail", "it is not active", virsh(pair.uris[host], f"pool-start {name}"))
    if free < _GUEST_BYTES:
        return Check(
            what, "fail", f"{folder}: {human(free, 'B')} are free, {human(_GUEST_BYTES, 'B')} are wanted", show
        )
    return Check(what, "pass", f"{folder}, {human(free, 'B')} free")


async def _of_pair(theirs: HostsPlan, pair: Pair, python: str) -> list[Check]:
    try:
        uuid = await pair.uuid_of(theirs.domain)
    except Problem as error:
        return [_failed("domain", error)]
    record = Record(uuid)
    domain = TheirDomain(pair, theirs, uuid, python, record)
    found = await look(domain, record)
    checks = [await _different(pair), *_domain(theirs, found)]
    with contextlib.suppress(Problem):
        source, destination = await domain.find()
        xml = fromstring(await domain.call(source, "XMLDesc", _MIGRATABLE))
        stays = await domain.call(source, "isPersistent")
        checks.append(_definition(source, destination, found, persistent=bool(stays)))
        if theirs.may_restart:
            checks.append(_reboot(xml.findtext("on_reboot") or "restart"))
        checks += await fits(Guest(xml), pair, source, destination)
    return [*checks, _stream(theirs, pair), *[check async for check in _events(pair)], _monitor(theirs)]


async def _different(pair: Pair) -> Check:
    """By the hosts' UUIDs."""
    uuids = {fromstring(await host.call("getCapabilities")).findtext("host/uuid") for host in pair.connections.values()}
    names = ", ".join(pair.connections)
    if len(uuids) > 1:
        return Check("two hosts", "pass", names)
    return Check("two hosts", "fail", f"{names}: both URIs lead to the same host", "two hosts, or --lab libvirt")


def _domain(theirs: HostsPlan, found: Found) -> Iterator[Check]:
    clean = clean_command(theirs)
    said = found.words(theirs.domain)
    runs = list(found.states.values()).count("running") == found.copies == 1
    if found.job is None:
        remedy = "it has to run on exactly one of both" if found.copies < 2 else "end one of them by hand"
        yield Check("domain", "pass" if runs else "fail", said[0], remedy)
    else:
        yield Check("domain", "unknown", said[0], "wait until its migration is over", needed=False)
    free = found.job is None and found.busy is None
    remedy = clean if found.job is None or found.job.ours else "wait until it is over"
    yield Check("migrations", "pass" if free else "fail", "; ".join(said[1:]) or "none goes on", remedy)


def _definition(source: str, destination: str, found: Found, *, persistent: bool) -> Check:
    if not persistent:
        return Check("definition", "pass", f"none: it is transient on {source}, and so on {destination}")
    there = " has one, too" if found.states[destination] == OFF else ": there it runs without one"
    return Check("definition", "pass", f"stays on {source}; {destination}{there}")


def _reboot(becomes: str) -> Check:
    """What its definition makes of a guest that reboots."""
    if becomes == "restart":
        return Check("reboot", "pass", "its guest is rebooted before each trial")
    remedy = "may_restart = false, or on_reboot of its definition"
    return Check("reboot", "fail", f"its definition says {becomes} where its guest reboots", remedy)


def _stream(theirs: HostsPlan, pair: Pair) -> Check:
    """Where it goes; whether it gets there nobody knows before QEMU has tried."""
    hosts = list(pair.uris)
    to = theirs.addresses or hosts
    who = "the source's libvirt speaks to the destination's" if theirs.peer_to_peer else "both are led from here"
    if theirs.peer_to_peer and any("+ssh" in uri or "+tls" in uri for uri in theirs.hosts):
        who += ", with keys and certificates of that host's own, also where the URI names a file"
    found = f"{who}; the memory goes to {' or '.join(to)}, TCP ports {PORTS}, encrypted only by a policy with tls"
    remedy = f"on {hosts[0]}: nc -vz {to[1]} 49152 says refused, and not timed out"
    if not theirs.addresses:
        remedy += "; libvirt.addresses in the plan, where the hosts do not know each other's names"
    return Check("stream", "unknown", found, remedy, needed=False)


async def _events(pair: Pair) -> AsyncIterator[Check]:
    for host, connection in pair.connections.items():
        name = f"QEMU's events on {host}"
        try:
            await connection.call("hears")
        except LibvirtError as error:
            lost = "vm_pause_s, rounds and migration_time_s will be null; libvirt_downtime_s and libvirt_total_s remain"
            yield Check(name, "fail", f"{error.words}: {lost}", "the right connect:write there", needed=False)
        else:
            yield Check(name, "pass", "told to us")


def _monitor(theirs: HostsPlan) -> Check:
    name, taints = "QEMU's monitor", "libvirt calls the domain tainted (custom-monitor) until its QEMU ends"
    if theirs.monitor:
        return Check(name, "pass", f"is asked, also for the hosts' clocks: {taints}")
    lost = "the hosts' clocks are not read: vm_pause_s, reported_* and dirty_rate_Bps will be null"
    return Check(name, "fail", f"not asked; {lost}", f"libvirt.monitor = true in the plan: {taints}", needed=False)


async def _page(theirs: HostsPlan) -> Sequence[Check]:
    """The page, and what is seen from outside."""
    if not theirs.url:
        return [Check("page", "unknown", "none is named", "--url http://…/, a page of the domain", needed=False)]
    try:
        host = host_of(theirs.url)
        address = await resolved(host)
        seen = await watched(host, theirs.url, None, None, "")
    except Problem as error:
        return [_failed("page", error, "--url with a page that is there")]
    outside = refusal(address)
    found = f"{outside}: guest_pause_from_outside_s will be null" if outside else "its clock is read from outside"
    return [
        Check("page", "pass", f"{theirs.url}: {seen.words}"),
        Check("guest's clock", "fail" if outside else "pass", found, "run it with sudo", needed=False),
        Check("not measured", "fail", _NEVER, "", needed=False),
    ]


_NEVER = (
    "data_transferred_bytes (libvirt_transferred_bytes is there), players, and the guest's own witnesses: the links "
    "are not ours to count, nobody plays, and nothing of ours is in the guest"
)
