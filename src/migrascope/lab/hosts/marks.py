"""What runs of ours have made on hosts of others: domains by the mark in their metadata, volumes by their names."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from xml.etree.ElementTree import fromstring

from migrascope.lab.hosts.pair import Pair
from migrascope.lab.hosts.pool import Pool
from migrascope.lab.libvirt.connection import Connection, LibvirtError
from migrascope.lab.libvirt.domain import MARK
from migrascope.node.machine import TAG
from migrascope.node.register import alive

_NAME = re.compile(rf"({TAG}-[0-9a-f]{{12}})-(ms[0-9a-f]{{6}})-[a-z0-9.-]+")


@dataclass(frozen=True)
class Leftover:
    """One thing on a host. pool: of a volume; empty for a domain. run, machine: whose it is."""

    kind: Literal["domain", "volume"]
    host: str
    name: str
    run: str
    machine: str
    pool: str = ""


@dataclass(frozen=True)
class Found:
    """left: of this machine's runs that are not alive; others: of other machines', whose runs may be alive."""

    left: list[Leftover]
    others: list[Leftover]


def name_of(machine: str, run: str, what: str) -> str:
    """What a thing of a run is called on hosts of others."""
    return f"{machine}-{run}-{what}"


async def find(pair: Pair, machine: str, living: Callable[[], set[str]] = alive) -> Found:
    """Lists everything of ours and changes nothing. machine: the tag of this one. living is asked after the hosts: what
    a run that begins meanwhile makes is not in the list."""
    found = [
        leftover
        for host, connection in pair.connections.items()
        for leftover in (*await _domains(host, connection), *await _volumes(host, connection))
    ]
    busy = living()
    ended = [leftover for leftover in found if leftover.run not in busy]
    return Found(
        [leftover for leftover in ended if leftover.machine == machine],
        [leftover for leftover in ended if leftover.machine != machine],
    )


async def _domains(host: str, connection: Connection) -> list[Leftover]:
    """Those that run and have our mark: the name alone could be anybody's."""
    found = []
    for name in await connection.call("listAllDomains", {"flags": ["VIR_CONNECT_LIST_DOMAINS_ACTIVE"]}):
        if not _NAME.fullmatch(name):
            continue
        mark = fromstring(await connection.call("XMLDesc", 0, on=("name", name))).find(f"metadata/{{{MARK}}}run")
        if mark is not None:
            found.append(Leftover("domain", host, name, mark.get("id", ""), mark.get("machine", "")))
    return found


async def _volumes(host: str, connection: Connection) -> list[Leftover]:
    """In the pools that are there. None where this host's libvirt has no pools."""
    found = []
    try:
        pools = await connection.call("listAllStoragePools", {"flags": ["VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE"]})
    except LibvirtError:
        return []
    for pool in pools:
        for name in await Pool(connection, pool).names():
            if match := _NAME.fullmatch(name):
                found.append(Leftover("volume", host, name, match[2], match[1], pool))
    return found


async def remove(pair: Pair, found: list[Leftover]) -> dict[Leftover, str]:
    """Removes all, domains first, and gives those that stay, each with libvirt's words."""
    failed: dict[Leftover, str] = {}
    for leftover in sorted(found, key=lambda leftover: leftover.kind):
        connection = pair.connections[leftover.host]
        try:
            if leftover.kind == "domain":
                await connection.call("destroy", on=("name", leftover.name))
            else:
                await Pool(connection, leftover.pool).remove(leftover.name)
        except LibvirtError as error:
            failed[leftover] = error.words
    return failed
