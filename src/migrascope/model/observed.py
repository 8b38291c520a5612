"""A machine at an address and the command that moves it: what the lab "address" is told by a plan."""

import ipaddress
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field

from migrascope.model.problem import UsageProblem
from migrascope.model.quantity import DAY_S, Duration, Part


class ObservedPlan(Part):
    """The machine of the lab "address", and what moves it.

    name: as people call it; address: IPv4 or IPv6. way: how it is probed: ICMP echo, handshakes with the TCP port
    `port`, or not at all, where visits are enough. url: a page of it that is visited; empty: none. clock_port: a TCP
    port of it to which a connection is kept for the time stamps of its segments; 0: none. clock_rate: how many of these
    are asked for a second. command: the program that moves it, with its arguments. prepare: a line for the shell before
    each trial; empty: none. pause: between two trials. command_limit: the longest that the command, and after it the
    wait for its effect, may take. boot_url: where the machine says its boot id; empty: nowhere. until_quiet: the
    command returns before the machine has moved, which is over when an outage was seen and then none for 10 s."""

    name: str = ""
    address: str = ""
    way: Literal["icmp", "tcp", "none"] = "icmp"
    port: int = Field(0, ge=0, le=65535)
    url: str = ""
    clock_port: int = Field(0, ge=0, le=65535)
    clock_rate: float = Field(5.0, gt=0, le=100)
    boot_url: str = ""
    command: list[str] = Field(default_factory=list)
    prepare: str = ""
    pause: Annotated[Duration, Field(le=DAY_S)] = 10.0
    command_limit: Annotated[Duration, Field(gt=0, le=DAY_S)] = 600.0
    until_quiet: bool = False

    def problem(self) -> str | None:
        """Why nothing can be observed and moved by it, or None."""
        try:
            ipaddress.ip_address(self.address)
        except ValueError:
            return f"address: {self.address!r} is neither an IPv4 nor an IPv6 address"
        if not self.command or not self.command[0]:
            return 'command: what moves the machine is missing, as in ["openstack", "server", "migrate", "vm-1"]'
        if self.way == "tcp" and not self.port:
            return "port: handshakes need a TCP port"
        if self.url and (problem := url_problem(self.url)):
            return f"url: {problem}"
        if self.boot_url and (problem := url_problem(self.boot_url)):
            return f"boot_url: {problem}"
        if self.way == "none" and not self.url:
            return "way: without probes a url to visit is needed"
        return None


def url_problem(url: str) -> str | None:
    """Why a text is no URL of a page that can be visited, or None."""
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    return None if fits else f"{url!r} is no URL of a page, as http://192.0.2.10/ is one"


def port_of(url: str) -> int:
    """The TCP port of a URL that can be visited."""
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)


def host_of(url: str) -> str:
    """The host of a URL. UsageProblem where it is none."""
    if problem := url_problem(url):
        raise UsageProblem(f"--url: {problem}")
    return str(urlsplit(url).hostname)
