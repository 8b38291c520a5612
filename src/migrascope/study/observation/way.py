"""Which way an address can be probed from here: ICMP echo, or handshakes with a TCP port."""

import asyncio
import ipaddress
import socket
from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

from migrascope.model.clock import mono_s
from migrascope.model.observation import (
    BOOT_RATE,
    FOREIGN_RATE,
    FOREIGN_SEGMENTS,
    LEAST_RATE,
    MOST_SEGMENTS,
    OWN_RATE,
    OWN_SEGMENTS,
    Target,
    Way,
)
from migrascope.model.observed import port_of
from migrascope.model.problem import Problem, UsageProblem
from migrascope.probe.icmp import EchoSocket
from migrascope.probe.peer_clock import refusal

PORTS = (80, 443, 22)
"""TCP ports that are tried where ICMP echo is not answered, the first that is open counts."""
_NAME_LIMIT_S = 10.0
_ECHO_LIMIT_S, _ECHO_EVERY_S = 0.6, 0.2
_TCP_LIMIT_S = 1.0
_DISCARD = 9
ONE_IS_KEPT = "a connection to its address is kept already, and shows it"
_PRIVATE = [ipaddress.ip_network(net) for net in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")]
Port = Literal["open", "closed", "silent"]
Answer = Literal["reply", "prohibited", "none"]


async def target_of(name: str, port: int | None, rate: float | None) -> Target:
    """How a name or an address is observed. port: of TCP, instead of ICMP; rate: None for what manners allow.

    UsageProblem where there is no such name, or it is no single machine's address; Problem where there is no way."""
    address = await resolved(name)
    chosen = rate or default_rate(address)

    def target(way: Way, port: int, why: str, *, answers: bool, prohibited: bool = False) -> Target:
        return Target(
            name=name, address=address, way=way, port=port, rate=chosen, why=why, answers=answers, prohibited=prohibited
        )

    if port is not None:
        found = (await _ports(address, [port]))[0]
        if found == "closed":
            raise Problem(f"{_label(name, address)}: port {port} is closed\n  next: --port with one that is open")
        return target("tcp", port, "--port", answers=found == "open")
    way, answer = await _echo(name, address)
    if way is not None and answer != "none":  # who asks to be left alone is asked at no port, either
        return target(way, 0, "", answers=answer == "reply", prohibited=answer == "prohibited")
    why = "ICMP echo is not answered" if way is not None else "ICMP needs root or net.ipv4.ping_group_range"
    states = await _ports(address, PORTS)
    if "open" in states:
        return target("tcp", PORTS[states.index("open")], why, answers=True)
    if way is not None:
        return target(way, 0, "", answers=False)
    ports = ", ".join(f"{port} {state}" for port, state in zip(PORTS, states, strict=True))
    raise Problem(
        f"{_label(name, address)}: there is no way to observe it: ICMP sockets are not permitted here, and of its TCP "
        f"ports none is open ({ports})\n  next: root, sudo sysctl net.ipv4.ping_group_range='0 2147483647', or --port"
    )


async def resolved(name: str) -> str:
    """The first address of a name to which this machine has a route."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_NAME_LIMIT_S):
            found = await loop.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
    except TimeoutError:
        raise Problem(f"{name!r}: no name server has answered within {_NAME_LIMIT_S:g} s") from None
    except (OSError, UnicodeError) as error:
        words = error.strerror if isinstance(error, OSError) else "no name has such characters"
        raise UsageProblem(f"{name!r} is neither an address nor a known name: {words}") from error
    problem = ""
    for family, _, _, _, place in found:
        address = str(place[0])
        if family == socket.AF_INET6 and len(place) == 4 and place[3] and "%" not in address:
            address = f"{address}%{place[3]}"
        _need_one_machine(name, address)
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as way:
                way.connect((address, _DISCARD))
        except OSError as error:
            problem = f"{_label(name, address)}: this machine has no route to it ({error.strerror})"
        else:
            return address
    raise Problem(problem)


def _need_one_machine(name: str, address: str) -> None:
    given = ipaddress.ip_address(address)
    if given.is_multicast or given.is_unspecified or given == ipaddress.ip_address("255.255.255.255"):
        raise UsageProblem(f"{_label(name, address)} is not the address of one machine")


def default_rate(address: str) -> float:
    """Probes a second where none are given: fewer to what is no loopback, link-local or private address (RFC 1918,
    RFC 4193)."""
    given = ipaddress.ip_address(address)
    own = given.is_loopback or given.is_link_local or any(given in net for net in _PRIVATE)
    return OWN_RATE if own else FOREIGN_RATE


def _label(name: str, address: str) -> str:
    return address if name == address else f"{name} ({address})"


def left_rate(address: str, beside: float) -> float:
    """The same where so much else is sent to it a second: to a public address it is FOREIGN_RATE in all."""
    rate = default_rate(address)
    return rate if rate == OWN_RATE else max(LEAST_RATE, rate - beside)


def fitted(targets: Sequence[Target]) -> list[Target]:
    """The same targets, whose rates nobody gave, with as many probes as the visits, segments and boot ids of each
    address leave."""
    beside: defaultdict[str, float] = defaultdict(float)
    for target in targets:
        visits = target.rate if target.way == "http" else 0.0
        segments = target.clock_rate if target.clock_port else 0.0
        beside[target.address] += visits + segments + (BOOT_RATE if target.boot_url else 0.0)
    return [
        target
        if target.way == "http"
        else target.model_copy(update={"rate": left_rate(target.address, beside[target.address])})
        for target in targets
    ]


async def clock_port(address: str, known: int) -> int:
    """A TCP port to which a connection can be kept for its time stamps: the one that is known, or the first of PORTS
    that is open; 0 where none is."""
    if known:
        return known
    states = await _ports(address, PORTS)
    return PORTS[states.index("open")] if "open" in states else 0


async def clocked(targets: Sequence[Target]) -> list[Target]:
    """The same targets with the port to which a connection to each is kept for its time stamps, or why there is none:
    one is enough for an address. All are asked equally often, and all together MOST_SEGMENTS times a second at most."""
    found = list(await asyncio.gather(*map(_clocked, targets)))
    kept = set[str]()
    for at, target in enumerate(found):
        if target.clock_port and target.address in kept:
            found[at] = target.model_copy(update={"clock_port": 0, "clock_rate": 0.0, "clock_unseen": ONE_IS_KEPT})
        elif target.clock_port:
            kept.add(target.address)
    rates = [target.clock_rate for target in found if target.clock_port]
    rate = min([*rates, MOST_SEGMENTS / max(1, len(rates))])
    return [target.model_copy(update={"clock_rate": rate}) if target.clock_port else target for target in found]


async def _clocked(target: Target) -> Target:
    if unseen := refusal(target.address):
        return target.model_copy(update={"clock_unseen": unseen})
    known = port_of(target.name) if target.way == "http" else target.port
    # the ports of who answers nothing have been tried already
    port = await clock_port(target.address, known) if target.answers else 0
    if not port:
        return target.model_copy(update={"clock_unseen": "no TCP port of it is known that is open"})
    rate = OWN_SEGMENTS if default_rate(target.address) == OWN_RATE else FOREIGN_SEGMENTS
    return target.model_copy(update={"clock_port": port, "clock_rate": rate})


async def _echo(name: str, address: str) -> tuple[Way | None, Answer]:
    """What ICMP socket there may be, None without one, and what came of echo requests."""
    try:
        opened = EchoSocket(address)
    except PermissionError:
        return None, "none"
    except OSError as error:
        raise Problem(f"{_label(name, address)}: {error.strerror}") from error
    with opened as echo:
        way: Way = "icmp-raw" if echo.raw else "icmp-ping"
        echo.heed()
        begun, seq = mono_s(), 0
        while (took := mono_s() - begun) < _ECHO_LIMIT_S:
            if took >= seq * _ECHO_EVERY_S:
                echo.send(echo.request(seq))
                seq += 1
            await asyncio.sleep(0.005)
            if echo.receive(seq):
                return way, "reply"
            if echo.prohibited():
                return way, "prohibited"
        return way, "none"


async def _ports(address: str, ports: Sequence[int]) -> list[Port]:
    """What handshakes with the ports show."""
    return list(await asyncio.gather(*(_port(address, port) for port in ports)))


async def _port(address: str, port: int) -> Port:
    try:
        async with asyncio.timeout(_TCP_LIMIT_S):
            _, writer = await asyncio.open_connection(address, port)
    except ConnectionRefusedError:
        return "closed"
    except OSError:  # TimeoutError, too
        return "silent"
    writer.transport.abort()
    return "open"
