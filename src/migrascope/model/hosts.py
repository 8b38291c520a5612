"""Two libvirt hosts of others, and a domain of theirs or a guest of ours there: what the lab "libvirt" is told where it
brings up none."""

import ipaddress
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from pydantic import Field

from migrascope.model.address import (
    OptionalAddress,
    OptionalEndpoint,
    OptionalRouter6,
    endpoint,
    reachable,
    reachable6,
)
from migrascope.model.family import FIRST, SECOND, Family
from migrascope.model.name import ForeignName, OptionalForeignName
from migrascope.model.observed import url_problem
from migrascope.model.quantity import Part

PASSWORD = (
    "a password in a URI would be seen by all: leave it out; libvirt takes keys of ssh, certificates, or its own file "
    "auth.conf"
)

ORIGIN_PORT = 18080
"""Where this machine serves the live stream to a guest of ours on hosts of others, unless the plan says another port: a
constant, since firewalls between them have to let it through."""


class GuestPlan(Part):
    """A guest of ours on their hosts, made anew for each trial and removed after it.

    pool: libvirt's storage pool for its volumes, of this name on both hosts and of files; shared between them, or one
    of each host's own, as axes.storage says. bridge, network: what its interface joins on both hosts: a bridge, or one
    of libvirt's networks; one of them. address: its IPv4 address with the prefix length, which nobody else has; empty:
    what a DHCP server of that network gives it. gateway: its router's, empty where this machine is on the same network.
    address6, gateway6: the same of IPv6, where the plan's families have it; address6 is empty where the guest makes its
    own of what a router advertises, and gateway6 where none is wanted but one that advertises itself.
    origin: address (IPv4) and, after a colon, port of this machine where the guest fetches the live stream; empty: the
    address with which this machine reaches the guest."""

    pool: ForeignName
    bridge: OptionalForeignName = ""
    network: OptionalForeignName = ""
    address: str = ""
    gateway: OptionalAddress = ""
    address6: str = ""
    gateway6: OptionalRouter6 = ""
    origin: OptionalEndpoint = ""

    def addressing(self, families: Sequence[Family]) -> list[tuple[str, str]]:
        """Its address and its router's as its kernel line has them, over each of these families."""
        over: dict[Family, tuple[str, str]] = {
            FIRST: (self.address, self.gateway) if self.address else ("lease", ""),
            SECOND: (self.address6, self.gateway6) if self.address6 else ("advertised", ""),
        }
        return [over[family] for family in families]

    @property
    def own6(self) -> str:
        """Its address of IPv6 as a program writes it, without the prefix length; empty where the plan names none."""
        return reachable6(self.address6.partition("/")[0]) if self.address6 else ""

    @property
    def origin_named(self) -> tuple[str, int]:
        """Address and port of the plan's origin; the address is empty where this machine chooses."""
        return endpoint(self.origin, ORIGIN_PORT) if self.origin else ("", ORIGIN_PORT)

    @property
    def link(self) -> tuple[str, str]:
        """The kind of what its interface joins, "bridge" or "network", and its name."""
        return ("network", self.network) if self.network else ("bridge", self.bridge)

    def problem(self) -> str | None:
        """Why no guest can be made by it, or None."""
        if bool(self.bridge) == bool(self.network):
            return "bridge: a bridge or a network of libvirt's is wanted, one of them"
        return self._problem_of_first() or self._problem_of_second()

    def _problem_of_first(self) -> str | None:
        if not self.address:
            return "gateway: it comes with the address, by DHCP; leave it out" if self.gateway else None
        wrong = (
            f"address: {self.address!r} is no machine's IPv4 address with its prefix length, as 192.0.2.50/24 is one"
        )
        try:
            network = ipaddress.IPv4Interface(self.address).network
            address = ipaddress.IPv4Address(reachable(self.address.partition("/")[0]))
        except ValueError:
            return wrong
        if network.prefixlen > 30 or address in (network[0], network[-1]):
            return wrong
        if self.gateway and ipaddress.ip_address(self.gateway) not in network:
            return f"gateway: {self.gateway} is not in the network of {self.address}"
        if str(address) == self.origin_named[0]:
            return f"origin: {address} is the guest's own address; one of this machine's is wanted"
        return None

    def _problem_of_second(self) -> str | None:
        if not self.address6:
            remedy = "name address6, too, or leave it out: a router that advertises addresses advertises itself"
            return f"gateway6: it is of an address of the plan's; {remedy}" if self.gateway6 else None
        wrong = (
            f"address6: {self.address6!r} is no machine's IPv6 address with its prefix length, as 2001:db8::50/64 is "
            "one"
        )
        try:
            address = ipaddress.IPv6Address(self.own6)
            network = ipaddress.IPv6Interface(self.address6).network
        except ValueError:
            return wrong
        if network.prefixlen > 126 or address == network[0]:
            return wrong
        if not self.gateway6:
            return None
        router = ipaddress.IPv6Address(self.gateway6)
        if router in network or router.is_link_local:
            return None
        return f"gateway6: {router} is neither in the network of {self.address6} nor an address of its link"


class HostsPlan(Part):
    """Their hosts, and what is migrated to and fro: a domain of theirs, or a guest of ours; without hosts two are
    brought up on this machine.

    hosts: libvirt's URIs of both. domain: by its name there. url: a page of it, which is visited; the host in it is
    probed. addresses: IP addresses of both hosts, in their order, to which the stream goes; empty: what libvirt
    chooses. peer_to_peer: the source's libvirt speaks to the destination's itself, by the URI given here; else both are
    led from this machine. monitor: QEMU may be asked through its monitor, for which libvirt calls a domain tainted.
    may_restart: the domain is rebooted before each trial; else it never stops, and what it has been through is part of
    each figure. guest: one of ours instead of a domain of theirs."""

    hosts: list[str] = Field(default_factory=list)
    domain: str = Field("", max_length=200)
    url: str = ""
    addresses: list[str] = Field(default_factory=list)
    peer_to_peer: bool = False
    monitor: bool = False
    may_restart: bool = False
    guest: GuestPlan | None = None

    def problem(self) -> str | None:
        """Why nothing can be migrated by it, or None where it can, or where it names no hosts."""
        if not self.hosts:
            set_without = next((name for name, value in self if value), None)
            return f"{set_without}: it is of hosts of one's own, and libvirt.hosts names none" if set_without else None
        if problem := hosts_problem(self.hosts):
            return f"hosts: {problem}"
        if self.guest is not None:
            return self._guests_problem(self.guest)
        if not self.domain:
            return "domain: the name of the domain that is migrated is missing"
        if not self.url:
            return "url: a page of the domain is missing, as http://web1/"
        if problem := page_problem(self.url):
            return f"url: {problem}"
        return addresses_problem(self.addresses)

    def _guests_problem(self, guest: GuestPlan) -> str | None:
        for name in ("domain", "url", "monitor", "may_restart"):
            if getattr(self, name):
                return f"{name}: it is of a domain of theirs, and libvirt.guest asks for a guest of ours; leave one out"
        if problem := guest.problem():
            return f"guest.{problem}"
        return addresses_problem(self.addresses)


def uris_in(text: str) -> list[str]:
    """The URIs of a list with commas between them; a URI's parameters may hold commas, too (sshauth=agent,privkey)."""
    return re.split(r",(?=[a-z0-9+]+://)", text)


def hosts_problem(uris: list[str]) -> str | None:
    """Why these are not two hosts, in words that do not hold a password; None where they may be."""
    if len(uris) != 2 or uris[0] == uris[1]:
        return "two different URIs are wanted, as qemu+ssh://a/system,qemu+ssh://b/system"
    return next((problem for problem in map(uri_problem, uris) if problem), None)


def uri_problem(uri: str) -> str | None:
    """Why it is no URI of a host with QEMU, in words that do not hold a password; None where it is one."""
    try:
        parts = urlsplit(uri)
        secret = parts.password is not None
    except ValueError:
        return "one is no URI, as qemu+ssh://a/system is one"
    if secret:
        return PASSWORD
    if parts.scheme.partition("+")[0] != "qemu":
        return f"{uri!r} is no URI of libvirt's for QEMU, as qemu+ssh://a/system is one"
    return None


def page_problem(url: str) -> str | None:
    """Why a page cannot be visited, in words that do not hold a password; None where it may be there."""
    try:
        if urlsplit(url).password is not None:
            return "a password in a URL would be seen by all: name a page that is there without one"
    except ValueError:
        return "it is no URL of a page, as http://192.0.2.10/ is one"
    return url_problem(url)


def addresses_problem(addresses: list[str]) -> str | None:
    """Why the stream cannot go to these, or None."""
    if len(addresses) not in (0, 2):
        return "addresses: one of each host, or none"
    for address in addresses:
        try:
            ipaddress.ip_address(address)
        except ValueError:
            return f"addresses: {address!r} is neither an IPv4 nor an IPv6 address"
    return None
