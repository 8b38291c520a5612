"""Testbeds whose ports others wire, or whose tenants' networks are tunnels: the website before, during and after a
migration."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.cloud import Cloud, Visitor, both_families
from lab.machine import LIGHT_EACH, migrascope, only_trial
from migrascope.metrics import floating_ip
from migrascope.metrics.trial import measure
from migrascope.probe.neighbour_state import NO_ROUTER
from migrascope.testbed.settings import COMPUTE, CONTROLLER, NODES

pytestmark = pytest.mark.lab
MADE = {
    "ovn": (("--network", "ovn"), "geneve", 1442, ("--network", "agents", "are wired by ovn")),
    "vxlan": (("--tenant", "vxlan"), "vxlan", 1450, ("--tenant", "vlan", "are on vxlan")),
    "distributed": (
        ("--network", "ovn", "--floating-ips", "distributed"),
        "geneve",
        1442,
        ("--floating-ips", "centralized", "are distributed"),
    ),
}
OFF_S = 5
Made = tuple[tuple[str, ...], str, int, tuple[str, str, str]]


_SOAKED = [pytest.param(name, marks=pytest.mark.soak) for name in ("vxlan", "distributed")]


@pytest.fixture(scope="module", params=["ovn", *_SOAKED])
def made(request: pytest.FixtureRequest) -> Iterator[tuple[Cloud, Made]]:
    kind = MADE[request.param]
    name = f"{request.param}{os.getpid()}"
    up = migrascope("testbed", "up", "--name", name, *kind[0], timeout_s=1200)
    assert up.returncode == 0, up.stderr
    yield Cloud(name), kind
    assert migrascope("testbed", "down", "--purge", "--name", name).returncode == 0


def test_a_page_is_served_while_its_server_migrates(made: tuple[Cloud, Made]) -> None:
    cloud, (_, tenant, mtu, _) = made
    network = cloud.sdk('print(json.dumps(cloud.network.find_network("instances").to_dict()))')
    assert (network["provider_network_type"], network["mtu"]) == (tenant, mtu)
    server = cloud.create("website", COMPUTE)
    cloud.serves(server)
    before = cloud.volume_checksum(server)
    visitors = [Visitor(cloud, address) for address in (server.address, server.address6) for _ in range(2)]
    with contextlib.ExitStack() as visiting:
        for visitor in visitors:
            visiting.enter_context(visitor)
        assert cloud.migrate(server, CONTROLLER)["host"] == CONTROLLER
    for visitor in visitors:
        assert visitor.visits.failed == [], "also connections that were open at the switchover go on"
        assert visitor.visits.answered > 100
    assert cloud.volume_checksum(server) == before


def test_what_a_testbed_was_made_with_is_not_changed(made: tuple[Cloud, Made]) -> None:
    cloud, (_, _, _, (option, other, said)) = made
    refused = migrascope("testbed", "up", "--name", cloud.testbed.name, option, other)
    assert refused.returncode == 2
    assert said in refused.stderr


def _passed(cloud: Cloud) -> dict[str, int]:
    """The frames that each node has sent on the external network."""
    topology = cloud.testbed.topology
    lines = topology.fabric.call(lambda: Path("/proc/thread-self/net/dev").read_text(encoding="utf-8")).splitlines()
    received = {name.strip(): int(counts.split()[1]) for name, _, counts in (line.partition(":") for line in lines[2:])}
    ports = topology.links["external"].ports
    return {node: received[ports[node].port] for node in NODES if node in ports}


@pytest.mark.soak
def test_packets_pass_the_node_that_has_the_floating_ip(made: tuple[Cloud, Made]) -> None:
    cloud, _ = made
    server = cloud.create("passed", COMPUTE)
    cloud.serves(server)
    before = _passed(cloud)
    for _ in range(100):
        cloud.ask(f"http://{server.address}/none.html")
    sent = {node: count - before[node] for node, count in _passed(cloud).items()}
    assert {node for node, count in sent.items() if count >= 100} == {
        COMPUTE if cloud.testbed.settings.distributed else CONTROLLER
    }


@pytest.mark.soak
def test_a_gateway_whose_switch_was_off_is_one_again(made: tuple[Cloud, Made], tmp_path: Path) -> None:
    """Where it is no more than that: the router of Neutron's agents would not come back."""
    cloud, _ = made
    plan = f'name = "off"\nblocks = 1\nlab.kind = "openstack"\ncloud.testbed = "{cloud.testbed.name}"\n'
    plan += f'axes.scenario = ["none"]\naxes.disturbance = ["off"]\nwindows.before = "3s"\n{LIGHT_EACH}'
    plan += (
        '[verdict]\nallow = "two copies"\n[[disturbance]]\nname = "off"\nkind = "service-down"\ntarget = "controller"\n'
    )
    plan += f'service = "open-vswitch"\nwhen = "first-copy"\nduration = "{OFF_S}s"\n'
    if cloud.testbed.settings.network == "agents":
        (tmp_path / "plan.toml").write_text(plan)
        done = migrascope("run", str(tmp_path / "plan.toml"), "--runs", str(tmp_path / "runs"))
        assert (done.returncode, "the router of Neutron's agents is gone for good" in done.stdout) == (4, True)
        return
    found = measure(only_trial(tmp_path, plan))
    lost = found["network_lost_time_s"].value
    assert lost is not None
    assert lost >= OFF_S, "all packets pass the gateway"


@pytest.mark.soak
def test_it_comes_up_again_as_what_it_was(made: tuple[Cloud, Made]) -> None:
    cloud, _ = made
    assert migrascope("testbed", "down", "--name", cloud.testbed.name).returncode == 0
    up = migrascope("testbed", "up", "--name", cloud.testbed.name, timeout_s=1200)
    assert up.returncode == 0, up.stderr


@pytest.mark.soak
def test_what_wires_a_port_is_named(made: tuple[Cloud, Made], tmp_path: Path) -> None:
    """Each step of the network blackout has its length; what none explains is short."""
    cloud, (_, tenant, _, _) = made
    distributed = cloud.testbed.settings.distributed
    plan = f'name = "wired"\nblocks = 1\nlab.kind = "openstack"\ncloud.testbed = "{cloud.testbed.name}"\n'
    plan += 'families = ["ipv4", "ipv6"]\n'
    plan += f'axes.scenario = ["none"]\nwindows.before = "3s"\n{LIGHT_EACH}'
    found = measure(only_trial(tmp_path, plan))
    if tenant == "geneve":
        stamps = [found[f"ovn.{name}_s"] for name in ("requested", "claimed", "installed", "activated", "switched")]
        moved = [found[key] for key in ("ovn.floating_s", *floating_ip.KEYS)] if distributed else []
        assert [stamp.reason for stamp in [*stamps, *moved] if stamp.value is None] == []
    for step, whole in (
        ("blackout_step_s.", "network_blackout_s"),
        ("blackout_step_ipv6_s.", "network_blackout_ipv6_s"),
    ):
        lengths = [found[key].value or 0.0 for key in found if key.startswith(step)]
        blackout = found[whole].value
        assert blackout is not None
        assert sum(lengths) == pytest.approx(blackout, abs=0.002)
        assert (found[f"{step}unexplained"].value or 0) <= 0.05 * blackout
    both_families(found)
    for key in ("router_neighbour.right", "router_neighbour.right_ipv6"):
        assert (found[key].reason if tenant == "geneve" else found[key].value) in (NO_ROUTER, 1), key
    assert found["client_neighbour.right"].value == 1, "the floating IP is on the client's link"
