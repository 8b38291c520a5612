"""A testbed whose tenants' networks are tunnels: the website through them, before, during and after a migration."""

import os
from collections.abc import Iterator

import pytest

from lab.cloud import Cloud, Visitor
from lab.machine import migrascope
from migrascope.testbed.settings import COMPUTE, CONTROLLER

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    name = f"vxlan{os.getpid()}"
    up = migrascope("testbed", "up", "--name", name, "--tenant", "vxlan", timeout_s=1200)
    assert up.returncode == 0, up.stderr
    yield Cloud(name)
    assert migrascope("testbed", "down", "--purge", "--name", name).returncode == 0


def test_a_page_is_served_through_a_tunnel_while_its_server_migrates(cloud: Cloud) -> None:
    network = cloud.sdk('print(json.dumps(cloud.network.find_network("instances").to_dict()))')
    assert (network["provider_network_type"], network["mtu"]) == ("vxlan", 1450)
    server = cloud.create("website", COMPUTE)
    cloud.serves(server)
    before = cloud.volume_checksum(server)
    with Visitor(cloud, server) as visitor:
        assert cloud.migrate(server, CONTROLLER)["host"] == CONTROLLER
        assert cloud.migrate(server, COMPUTE)["host"] == COMPUTE
    assert visitor.visits.failed == []
    assert visitor.visits.answered > 100
    assert cloud.volume_checksum(server) == before


def test_what_a_testbed_was_made_with_is_not_changed(cloud: Cloud) -> None:
    refused = migrascope("testbed", "up", "--name", cloud.testbed.name, "--tenant", "vlan")
    assert refused.returncode == 2
    assert "are on vxlan" in refused.stderr
