"""IPv6 on a cloud: the address by which an instance is reached, what lets it in, and what lacks, said beforehand."""

import pytest
from cloudlab import OURS, RUN
from fakecloud import FakeCloud

from migrascope.cloud.client import Cloud, CloudError
from migrascope.lab.boot_image import BootImage
from migrascope.lab.openstack import ipv6
from migrascope.lab.openstack.access import CloudAccess
from migrascope.lab.openstack.lab import OpenstackLab
from migrascope.lab.openstack.ownership import InstanceRequest
from migrascope.lab.openstack.resources import Made, Resources
from migrascope.model.family import FIRST, SECOND
from migrascope.node.namespace import Namespace

BOTH = InstanceRequest(RUN, OURS, families=(FIRST, SECOND))
PREFIX = "fd4d:6967:7261:a1::/64"


def made(cloud: Cloud, boot: BootImage, request: InstanceRequest) -> Made:
    resources = Resources(cloud, request)
    ground = resources.ground(boot)
    return resources.make(f"{RUN}-trial-1", ground, resources.flavor(2**30, 1), "one")


def rules(fake: FakeCloud) -> dict[str, list[str]]:
    """The protocols that may come in, by family."""
    found: dict[str, list[str]] = {}
    for rule in fake.things["security_group_rules"].values():
        found.setdefault(rule["ethertype"], []).append(rule["protocol"])
    return found


def test_an_instance_of_both_families_has_an_address_of_each_and_is_let_in_over_both(
    fake: FakeCloud, cloud: Cloud, boot: BootImage
) -> None:
    fake.add_ipv6(PREFIX)
    found = made(cloud, boot, BOTH)
    assert (found.address, found.address6) == ("198.51.0.1", "fd4d:6967:7261:a1::f816")
    of_ports = ["tcp", "tcp", "udp", "udp"]
    assert rules(fake) == {"IPv4": ["icmp", *of_ports], "IPv6": ["ipv6-icmp", *of_ports]}


def test_a_run_of_ipv4_asks_for_nothing_of_ipv6(fake: FakeCloud, cloud: Cloud, boot: BootImage) -> None:
    fake.add_ipv6(PREFIX)
    assert made(cloud, boot, InstanceRequest(RUN, OURS)).address6 == ""
    assert set(rules(fake)) == {"IPv4"}
    assert fake.asked("GET /network/v2.0/subnets") == 0


def test_what_the_network_lacks_is_said_before_anything_is_made(fake: FakeCloud, cloud: Cloud, boot: BootImage) -> None:
    before = fake.kinds()
    for prefix, mode, words in (
        ("", "", "the network inner has no subnet of IPv6: name another"),
        ("fd00::/64", "dhcpv6-stateful", r"\(fd00::/64: dhcpv6-stateful\): the guest does no"),
        ("fd01::/64", "slaac", "no router is on fd01::/64 and advertises it"),
    ):
        if prefix:
            fake.add_ipv6(prefix, mode, routed=False)
        with pytest.raises(CloudError, match=words):
            Resources(cloud, BOTH).ground(boot)
    assert fake.kinds() == before


def test_a_prefix_that_a_router_outside_advertises_is_taken(fake: FakeCloud, cloud: Cloud, boot: BootImage) -> None:
    fake.add_ipv6("fd02::/64", routed=False)
    (subnet,) = fake.things["subnets"].values()
    subnet["ipv6_ra_mode"] = None
    assert Resources(cloud, BOTH).ground(boot).prefix6 == "fd02::/64"


def test_an_address_elsewhere_is_none() -> None:
    with pytest.raises(CloudError, match="no address in fd00::/64"):
        ipv6.address_in("fd00::/64", [{"ip_address": "10.1.0.7"}, {"ip_address": "fd01::7"}])


async def test_a_run_whose_visitors_know_no_way_there_does_not_begin_and_leaves_nothing(
    fake: FakeCloud, cloud: Cloud, boot: BootImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.add_ipv6(PREFIX)
    monkeypatch.setattr(Namespace, "call", lambda space, function: False)
    access = CloudAccess(client=Namespace("visitors"))
    with pytest.raises(CloudError, match=f"namespace visitors knows no way to the instances' {PREFIX}: ip -6 route"):
        async with OpenstackLab.up(cloud, None, BOTH, boot, access):
            pass
    assert fake.names("security_groups") == []
