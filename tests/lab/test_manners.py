"""A router that forbids what `observe` sends is heeded: two namespaces, one of which routes into nowhere."""

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from pyroute2 import IPRoute

from lab.pair import IPV4, IPV6, joined
from migrascope.node.namespace import Namespace
from migrascope.node.process import Where

pytestmark = pytest.mark.lab
FORBIDDEN = ("10.9.9.9", "fd00:9:9::9")


def add_route(routes: IPRoute, **route: str) -> None:
    routes.route("add", **route)


@pytest.fixture
def client() -> Iterator[Namespace]:
    """A client and its router, which answers for the forbidden addresses: administratively prohibited."""
    with joined("client", "router") as (client, router):
        router.write_sysctl("net/ipv4/ip_forward", "1")
        # Two limits of Linux share one count for each sender: a prohibit route would spend it on what the other then
        # refuses, and answer steady probes never. Without the second it answers one in a second.
        router.write_sysctl("net/ipv4/icmp_ratelimit", "0")
        router.write_sysctl("net/ipv6/conf/all/forwarding", "1")
        for network, gateway in (("10.9.9.0/24", IPV4), ("fd00:9:9::/64", IPV6)):
            client.configure(partial(add_route, dst=network, gateway=gateway))
            router.configure(partial(add_route, dst=network, type="prohibit"))
        yield client


@pytest.mark.parametrize("address", FORBIDDEN)
@pytest.mark.parametrize("raw", [True, False])
def test_what_a_router_forbids_is_sent_no_more(client: Namespace, address: str, raw: bool) -> None:
    client.write_sysctl("net/ipv4/ping_group_range", "0 2147483647")
    drop_capability, net_raw = 24, 13  # linux/prctl.h, linux/capability.h
    program = "import ctypes, os, sys; " + (
        "" if raw else f"ctypes.CDLL(None).prctl({drop_capability}, {net_raw}, 0, 0, 0); "
    )
    program += "os.execv(sys.executable, [sys.executable, '-m', 'migrascope', 'observe', *sys.argv[1:]])"
    argv = [sys.executable, "-c", program, address, "--rate", "100", "--for", "4s", "--json"]
    ended = subprocess.run(Where(client).command(argv), capture_output=True, text=True)
    assert ended.returncode == 4, ended.stderr
    assert "nothing has answered" in ended.stderr
    events: list[dict[str, Any]] = [json.loads(line) for line in ended.stdout.splitlines()]
    assert events[0]["target"]["way"] == ("icmp-raw" if raw else "icmp-ping")
    (asked,) = [event for event in events if event["event"] == "back-off"]
    assert (asked["seconds"], asked["why"]) == (10, "ICMP: administratively prohibited")
    # The first error comes while the way is chosen: nothing more is sent in the first 10 s.
    assert events[-1]["sent"] == 0
