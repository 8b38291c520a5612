"""`observe` against known silences of a machine of our own, between two namespaces joined by a veth pair."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from pyroute2 import IPRoute

from lab.pair import IPV4, IPV6, joined
from migrascope.node.namespace import Namespace
from migrascope.node.process import Where
from migrascope.probe.neighbour import Changes, neighbours

pytestmark = pytest.mark.lab
CUTS_S = (0.03, 0.1, 0.3, 0.05, 2.5, 0.1)
ADDRESSES = (IPV4, IPV6)
NS = 10**9
PERMANENT = 0x80  # NUD_PERMANENT (linux/neighbour.h)


@pytest.fixture
def pair() -> Iterator[tuple[Namespace, Namespace]]:
    """A client and a machine, with an IPv4 and an IPv6 address each."""
    with joined("observer", "observed") as both:
        yield both


def silence(machine: Namespace, length_s: float) -> tuple[int, int]:
    """Takes the machine's answers away for about that long; mono ns of begin and end."""
    keys = ("net/ipv4/icmp_echo_ignore_all", "net/ipv6/icmp/echo_ignore_all")
    for key in keys:
        machine.write_sysctl(key, "1")
    begun = time.monotonic_ns()
    time.sleep(length_s)
    for key in keys:
        machine.write_sysctl(key, "0")
    return begun, time.monotonic_ns()


def test_each_silence_of_each_address_is_told_with_its_length(pair: tuple[Namespace, Namespace]) -> None:
    client, machine = pair
    argv = [sys.executable, "-m", "migrascope", "observe", *ADDRESSES, "--rate", "500", "--json", "--until-quiet"]
    with subprocess.Popen(Where(client).command(argv), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ways = [json.loads(process.stdout.readline())["target"]["way"] for _ in ADDRESSES]
        assert set(ways) <= {"icmp-raw", "icmp-ping"}
        time.sleep(8)
        truths = []
        for length in CUTS_S:
            truths.append(silence(machine, length))
            time.sleep(1)
        events: list[dict[str, Any]] = [json.loads(line) for line in process.stdout]
        assert process.wait(60) == 0
    for address in ADDRESSES:
        blackouts = [event for event in events if event["event"] == "blackout" and event["address"] == address]
        assert len(blackouts) == len(CUTS_S), events
        errors = [
            told["seconds"] - (ended - begun) / NS for told, (begun, ended) in zip(blackouts, truths, strict=True)
        ]
        assert abs(np.median(errors)) < 0.004, errors
        assert all(told["lost"] > 0 and not told["late"] for told in blackouts)
    assert {event["address"] for event in events if event["event"] == "silent"} == set(ADDRESSES)
    assert [event["address"] for event in events[-2:] if event["event"] == "end"] == list(ADDRESSES)


def test_an_address_without_a_route_is_named(pair: tuple[Namespace, Namespace]) -> None:
    for address in ("192.0.2.7", "2001:db8::7"):
        argv = Where(pair[0]).command([sys.executable, "-m", "migrascope", "observe", address, "--for", "1s"])
        ended = subprocess.run(argv, capture_output=True, text=True)
        assert ended.returncode == 4
        assert f"migrascope: {address}: this machine has no route to it (Network is unreachable)" in ended.stderr


def test_without_the_right_to_raw_sockets_it_is_the_ping_socket(pair: tuple[Namespace, Namespace]) -> None:
    pair[0].write_sysctl("net/ipv4/ping_group_range", "0 2147483647")
    drop_capability, net_raw = 24, 13  # linux/prctl.h, linux/capability.h
    program = f"import ctypes, os, sys; ctypes.CDLL(None).prctl({drop_capability}, {net_raw}, 0, 0, 0); "
    program += "os.execv(sys.executable, [sys.executable, '-m', 'migrascope', 'observe', *sys.argv[1:]])"
    argv = Where(pair[0]).command([sys.executable, "-c", program, *ADDRESSES, "--for", "2s", "--json"])
    ended = subprocess.run(argv, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    events = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [event["target"]["way"] for event in events[:2]] == ["icmp-ping"] * 2
    assert all(event["lost"] == 0 and event["answered"] > 50 for event in events[-2:])


def test_the_kernel_tells_that_a_neighbour_has_another_mac(pair: tuple[Namespace, Namespace]) -> None:
    def look() -> list[bool]:
        with closing(Changes()) as changes, IPRoute() as routes:
            there: dict[str, Any] = {
                "dst": "10.9.8.99",
                "ifindex": routes.link_lookup(ifname="v0")[0],
                "state": PERMANENT,
            }
            found = [changes.any()]
            for action, mac in (("add", "52:54:00:00:00:01"), ("change", "52:54:00:00:00:02")):
                routes.neigh(action, lladdr=mac, **there)
                found += [changes.any(), changes.any()]
                assert neighbours(routes)[there["ifindex"], there["dst"]] == mac
            return found

    assert pair[0].call(look) == [False, True, False, True, False]
