"""What `doctor` says of hosts on which a guest of ours is to run: its pool, its addresses, where its live stream comes
from."""

import errno
import json
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from commandline import migrascope
from theirhosts import A, B, TheirHosts, their_hosts

from migrascope.lab.hosts import way as ways

__all__ = ["their_hosts"]
PLAN = """
families = {families}
[libvirt]
hosts = ["{a}", "{b}"]
[lab]
kind = "libvirt"
[libvirt.guest]
pool = "default"
{guest}
[axes]
scenario = ["{scenario}"]
"""
NAMED = 'bridge = "br0"\naddress = "192.0.2.50/24"'


@pytest.fixture(autouse=True)
def pools(their_hosts: TheirHosts) -> None:
    for uri in (A, B):
        their_hosts.host(uri, pools={"default": 10**10})


def doctor(
    folder: Path, guest: str = NAMED, scenario: str = "online", families: Sequence[str] = ("ipv4",)
) -> tuple[int, dict[str, dict[str, Any]]]:
    """The code, and the checks by name."""
    text = PLAN.format(a=A, b=B, guest=guest, scenario=scenario, families=json.dumps(families))
    (folder / "plan.toml").write_text(text)
    done = migrascope("doctor", "plan.toml", "--json", folder=folder)
    return done.code, {check["name"]: check for check in json.loads(done.stdout)["checks"]}


def test_it_says_where_the_live_stream_will_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "own_address", lambda towards: "127.0.0.1")
    code, found = doctor(tmp_path)
    assert code == 0, found
    assert found["pool default on a"]["verdict"] == "pass"
    assert found["live stream"]["verdict"] == "unknown"
    assert found["live stream"]["found"].startswith("from 127.0.0.1:18080 of this machine, while a trial runs")
    assert "live stream" not in doctor(tmp_path, scenario="offline")[1]


def test_a_port_that_is_taken_is_no_origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "own_address", lambda towards: "127.0.0.1")
    with socket.create_server(("127.0.0.1", 18080)):
        code, found = doctor(tmp_path)
    assert code == 4
    assert found["live stream"]["found"] == "nothing can listen on 127.0.0.1:18080: Address already in use"
    assert "ss -ltnp 'sport = :18080'" in found["live stream"]["remedy"]
    assert 'libvirt.guest.origin = "ADDRESS:PORT"' in found["live stream"]["remedy"]


def test_an_address_that_is_not_this_machine_s_is_no_origin(tmp_path: Path) -> None:
    code, found = doctor(tmp_path, f'{NAMED}\norigin = "203.0.113.77"')
    assert code == 4
    assert "203.0.113.77:18080: Cannot assign requested address" in found["live stream"]["found"]


@pytest.mark.parametrize(
    ("leases", "verdict", "words"),
    [
        ({A, B}, "pass", "by DHCP on the network default, whose server is libvirt's own"),
        ({A}, "unknown", "by DHCP on the network default: whether a server is there, b cannot say"),
    ],
)
def test_whether_libvirt_gives_addresses_is_asked(
    their_hosts: TheirHosts, tmp_path: Path, leases: set[str], verdict: str, words: str
) -> None:
    for uri in leases:
        their_hosts.host(uri, leases=["default"])
    code, found = doctor(tmp_path, 'network = "default"', "none")
    assert code == 0, found
    assert (found["address"]["verdict"], found["address"]["found"]) == (verdict, words)


def test_a_bridge_says_nothing_of_addresses(tmp_path: Path) -> None:
    found = doctor(tmp_path, 'bridge = "br0"', "none")[1]["address"]
    assert (found["verdict"], found["found"]) == (
        "unknown", "by DHCP on the bridge br0: whether a server is there, a and b cannot say"
    )  # fmt: skip


BOTH = ("ipv4", "ipv6")
NETWORK = 'network = "default"'
LEAVE = "or leave ipv6 out of families"


@pytest.mark.parametrize(
    ("guest", "subnets", "verdict", "words"),
    [
        (NETWORK, {A: "slaac", B: "slaac"}, "pass", "on the network default, which is libvirt's own"),
        (NETWORK, {A: "slaac"}, "unknown", "on the network default: whether one does, b cannot say"),
        (NETWORK, {A: "slaac", B: "dhcp"}, "fail",
         "on the network default: libvirt's own gives addresses on b by DHCPv6, which the guest does not ask for"),
        ('bridge = "br0"', {A: "slaac"}, "unknown", "on the bridge br0: whether one does, a and b cannot say"),
    ],
)  # fmt: skip
def test_whether_a_router_of_libvirt_s_advertises_addresses_is_asked(
    their_hosts: TheirHosts, tmp_path: Path, guest: str, subnets: dict[str, str], verdict: str, words: str
) -> None:
    for uri, kind in subnets.items():
        their_hosts.host(uri, ipv6={"default": kind})
    code, found = doctor(tmp_path, guest, "none", BOTH)
    assert code == 0, found
    six = found["IPv6 address"]
    assert (six["verdict"], six["found"]) == (verdict, f"its own, of what a router advertises {words}")
    assert (LEAVE in six["remedy"]) == (verdict != "pass")
    assert found["address"]["verdict"] == "unknown"  # a server of DHCPv6 gives no address of IPv4
    assert found["IPv6"]["verdict"] == "pass"
    assert "what announces it" in found["not measured"]["found"]


def test_an_address_of_ipv6_to_which_no_way_leads_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def own(towards: str) -> str:
        if towards == "2001:db8::50":
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        return "2001:db8::9"

    monkeypatch.setattr(ways, "own_address", own)
    code, found = doctor(tmp_path, f'{NAMED}\naddress6 = "2001:db8::50/64"', "none", BOTH)
    assert code == 4
    six = found["IPv6 address"]
    assert six["found"] == "no way from this machine to the guest, 2001:db8::50: Network is unreachable"
    assert six["remedy"] == f"ip route get 2001:db8::50, {LEAVE}"
    code, found = doctor(tmp_path, f'{NAMED}\naddress6 = "2001:db8::51/64"', "none", BOTH)
    assert code == 0
    assert found["IPv6 address"]["found"] == "2001:db8::51/64: whether nobody has it is not asked"
    assert "IPv6 address" not in doctor(tmp_path, scenario="none")[1]


def test_a_run_of_both_families_needs_a_kernel_with_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("migrascope.study.doctor.machine.has_ipv6", lambda: False)
    code, found = doctor(tmp_path, NAMED, "none", BOTH)
    assert (code, found["IPv6"]["found"]) == (4, "this kernel has none")
    done = migrascope("run", "plan.toml", folder=tmp_path)
    assert done.code == 4
    assert "the plan cannot be run on these hosts:\n  IPv6: this kernel has none" in done.stderr
