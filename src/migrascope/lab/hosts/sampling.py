"""What a running domain holds and dirties, by its host's libvirt: nothing of it is set or changed, and nobody speaks to
QEMU past libvirt, so that it is not tainted."""

from collections.abc import Callable
from typing import Any
from xml.etree.ElementTree import fromstring

from migrascope.lab.libvirt.connection import LibvirtError, version_text
from migrascope.lab.libvirt.placed import GONE, Placed, active, told
from migrascope.model.clock import mono_s
from migrascope.model.problem import Problem
from migrascope.model.running import Running
from migrascope.node.wait import WaitTimeout, wait_until

PERIODS_S = (1, 2, 4)
"""libvirt takes whole seconds, 1 to 60."""
LONGER_S = 8
"""Sampled once more for so long, where a guest that is busy seems to write nothing."""
PAGES_OF_GIB = 512
"""QEMU looks at so many pages of each GiB unless it is told otherwise, which libvirt does not."""
BUSY = 0.1
"""A guest that keeps a larger share of one processor busy does something."""
_LOOK_S = 0.1
_LATE_S = 10.0
"""Maximum time for QEMU to hash its pages, beside the period."""
_MEASURED = 2
"""virDomainDirtyRateStatus."""
_RATES_SINCE = 7002000
"""The first libvirt that measures dirty rates, as it numbers itself."""


class NotSampled(Problem):
    """What a domain writes is not known; the message says why, and what would help."""


async def sampled(domain: Placed, name: str, say: Callable[[str], None]) -> Running:
    """Samples a domain where it runs. name: that people know it by. say: takes what goes on, a sentence each.
    NotSampled where it does not run on just one of the hosts, or libvirt does not tell."""
    host = await _place(domain, name)
    try:
        return await _sampled(domain, host, name, say)
    except LibvirtError as error:
        raise NotSampled(
            f"libvirt on {host} stopped to answer, or {name} went away: {error.words}\n"
            "  next: again, once it runs and stays where it is"
        ) from error


async def _place(domain: Placed, name: str) -> str:
    """The host where it runs."""
    states = await domain.states()
    here, words = active(states), told(states)
    if len(here) > 1:
        raise NotSampled(
            f"{name} has a QEMU on {' and '.join(here)}: {words}: it is being migrated, or there are two copies\n"
            "  next: wait until its migration is over, or migrascope doctor --hosts"
        )
    if not here:
        gone = set(states.values()) == {GONE}
        helps = "name the hosts of which one has it" if gone else "start it: what it writes shows only while it runs"
        raise NotSampled(f"{name} does not run: {words}\n  next: {helps}")
    if states[here[0]] != "running":
        raise NotSampled(
            f"{name} does not run: {words}\n  next: have it run on: what it writes shows only while it runs"
        )
    return here[0]


async def _sampled(domain: Placed, host: str, name: str, say: Callable[[str], None]) -> Running:
    if (await domain.call(host, "jobInfo"))[0]:
        raise NotSampled(f"a job of {name} goes on on {host}, such as a migration\n  next: wait until it is over")
    definition = fromstring(await domain.call(host, "XMLDesc", 0))
    if definition.find("memoryBacking/hugepages") is not None:
        raise NotSampled(
            f"the memory of {name} is in huge pages, of which {host} does not count how many hold something\n"
            "  next: migrate it and watch: migrascope run --hosts"
        )
    _, memory_kib, _, vcpus, _ = await domain.call(host, "info")
    held_kib = (await domain.call(host, "memoryStats")).get("rss")
    if not held_kib:
        raise NotSampled(f"libvirt on {host} does not say how much memory {name} has (rss)\n  next: a newer libvirt")
    pages = round(memory_kib * PAGES_OF_GIB / 2**20)
    say(f"sampling {name} on {host} for {sum(PERIODS_S)} s, nothing of it is changed")
    rates, busy = await _rates(domain, host, name, pages, say)
    libvirt, qemu = _versions(domain, host)
    memory_bytes = memory_kib * 1024.0
    accelerator = {"kvm": "kvm", "qemu": "tcg"}.get(definition.get("type", ""), "unknown")
    held_bytes = min(held_kib * 1024.0, memory_bytes)
    return Running(
        name, host, accelerator, memory_bytes, held_bytes, vcpus, rates, pages, busy, libvirt, qemu
    )  # fmt: skip


async def _rates(
    domain: Placed, host: str, name: str, pages: int, say: Callable[[str], None]
) -> tuple[dict[int, int], float]:
    """MiB/s by period, and the processors that it kept busy."""
    rates = dict[int, int]()
    began, before = mono_s(), await _processors_s(domain, host)
    for period_s in PERIODS_S:
        rates[period_s] = await _rate(domain, host, name, period_s)
    busy = (await _processors_s(domain, host) - before) / (mono_s() - began)
    if any(rates.values()) or busy <= BUSY:
        return rates, busy
    looked = f"of its memory {pages} pages are looked at, {PAGES_OF_GIB} of each GiB, which may be too few"
    say(f"{name} seems to write nothing, and keeps {busy:.1f} processors busy: {looked}; once more, {LONGER_S} s")
    rates[LONGER_S] = await _rate(domain, host, name, LONGER_S)
    if not rates[LONGER_S]:
        raise NotSampled(
            f"{name} keeps {busy:.1f} processors busy, and libvirt sees less than 1 MiB/s become dirty, also over "
            f"{LONGER_S} s: {looked}\n"
            "  next: sample it while it does what it usually does; or migrate such a guest in a lab, with "
            "probes.dirty = true, where more pages are looked at"
        )
    return rates, busy


async def _processors_s(domain: Placed, host: str) -> float:
    """Seconds of processors that it has used since it began."""
    return float((await domain.call(host, "info"))[4]) / 1e9


async def _rate(domain: Placed, host: str, name: str, period_s: int) -> int:
    """MiB/s over a period, as QEMU measures it."""
    try:
        await domain.call(host, "startDirtyRateCalc", period_s, 0)
    except LibvirtError as error:
        raise NotSampled(_refused(domain, host, name, error)) from error
    found: dict[str, Any] = {}

    async def measured() -> bool:
        found.update(await domain.call(host, "stats", {"flags": ["VIR_DOMAIN_STATS_DIRTYRATE"]}))
        return bool(found.get("dirtyrate.calc_status") == _MEASURED)

    limit_s = period_s + _LATE_S
    try:
        await wait_until(measured, limit_s, "QEMU has measured", _LOOK_S)
    except WaitTimeout:
        raise NotSampled(
            f"QEMU on {host} did not measure what {name} dirties over {period_s} s within {limit_s:g} s\n"
            "  next: again, once the host is less busy"
        ) from None
    if found["dirtyrate.calc_period"] != period_s:
        raise NotSampled(f"somebody else samples {name} on {host} at the same time\n  next: again, after that")
    return int(found["dirtyrate.megabytes_per_second"])


def _refused(domain: Placed, host: str, name: str, error: LibvirtError) -> str:
    libvirt, qemu = _versions(domain, host)
    old = domain.connections[host].versions["libvirt"] < _RATES_SINCE
    helps = "libvirt 7.2 there" if old else "QEMU 5.2 there, libvirt's Python module 7.2 here, a user who may write"
    words = f"libvirt {libvirt} on {host}, QEMU {qemu}, does not measure what {name} dirties: {error.words}"
    return f"{words}\n  next: {helps}"


def _versions(domain: Placed, host: str) -> tuple[str, str]:
    versions = domain.connections[host].versions
    return version_text(versions["libvirt"]), version_text(versions["qemu"])
