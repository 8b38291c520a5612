"""Instances in a cloud: what cannot be made is told in its words and leaves nothing."""

import asyncio

import pytest
from cloudlab import OURS, RUN, made
from fakecloud import FakeCloud, Fault

from migrascope.cloud.client import Cloud, CloudError
from migrascope.lab.boot_image import BootImage
from migrascope.lab.openstack.lab import hypervisors
from migrascope.lab.openstack.ownership import InstanceRequest
from migrascope.lab.openstack.resources import Resources
from migrascope.node.machine import TAG


def test_without_a_second_host_there_is_no_lab(fake: FakeCloud, cloud: Cloud) -> None:
    fake.nova.hosts = ("one",)
    with pytest.raises(CloudError, match="has 1 host"):
        hypervisors(cloud)


def test_without_the_right_to_see_hosts_compute_chooses(fake: FakeCloud, cloud: Cloud, boot: BootImage) -> None:
    fake.roles = ("member",)
    assert hypervisors(cloud) == ("", "")
    with pytest.raises(CloudError, match=r"lets us make none .*flavor-manage.*cloud\.flavor"):
        made(cloud, boot)


def test_an_image_is_uploaded_once(fake: FakeCloud, cloud: Cloud, boot: BootImage) -> None:
    made(cloud, boot)
    assert fake.names("images") == ["migrascope-initrd", "migrascope-kernel", "migrascope-website"]
    assert all(image["tags"] == [TAG, OURS] for image in fake.things["images"].values())


@pytest.mark.parametrize(
    ("quota", "words"),
    [
        ("instances", "Quota exceeded for instances"),
        ("volumes", "volumes"),
        ("port", "port"),
        ("floatingip", "floatingip"),
    ],
)
def test_a_quota_that_is_used_up_is_told_and_nothing_stays(
    fake: FakeCloud, cloud: Cloud, boot: BootImage, quota: str, words: str
) -> None:
    fake.quotas[quota] = len(fake.things["ports"]) if quota == "port" else 0
    with pytest.raises(CloudError, match=words):
        made(cloud, boot)
    left = fake.kinds()
    assert {kind for kind in left if kind not in ("images", "security_groups", "security_group_rules")} == set()


@pytest.mark.parametrize("why", ["schedule allocate volume: No backend has room.", ""])
def test_a_volume_that_goes_to_error_is_removed_with_its_reason_told(
    fake: FakeCloud, cloud: Cloud, boot: BootImage, why: str
) -> None:
    fake.volume_birth, fake.why = "error", why
    with pytest.raises(CloudError, match=f"is in error: {why or 'no reason is told'}"):
        made(cloud, boot)
    assert fake.nova.servers == fake.things["volumes"] == {}


def test_a_server_that_goes_to_error_is_removed_with_its_fault_told(
    fake: FakeCloud, cloud: Cloud, boot: BootImage
) -> None:
    fake.nova.birth = "ERROR"
    with pytest.raises(CloudError, match=r"is in ERROR: No valid host was found\."):
        made(cloud, boot)
    assert fake.nova.servers == fake.things["volumes"] == {}


def test_a_server_whose_birth_was_not_answered_is_removed(fake: FakeCloud, cloud: Cloud, boot: BootImage) -> None:
    fake.faults.append(Fault("POST .*/servers", 504, "Gateway Time-out", after=True))
    with pytest.raises(CloudError, match="Gateway Time-out"):
        made(cloud, boot)
    assert fake.asked("POST .*/servers") == 1
    assert fake.nova.servers == fake.things["volumes"] == {}


def test_a_flavor_that_another_run_makes_at_the_same_time_is_used(fake: FakeCloud, cloud: Cloud) -> None:
    resources = Resources(cloud, InstanceRequest(RUN, OURS))
    fake.faults.append(Fault("POST .*/flavors", 409, "Flavor with name exists.", after=True))
    assert [resources.flavor(512 * 2**20, 1)] == list(fake.nova.flavors)


def test_what_cannot_be_removed_is_no_fault_of_the_trial(fake: FakeCloud, cloud: Cloud, boot: BootImage) -> None:
    instance = made(cloud, boot)
    fake.faults.append(Fault("DELETE .*/volumes/.*", 400, "Volume is part of a snapshot."))
    asyncio.run(instance.destroy())
    assert fake.names("volumes") == [f"{RUN}-trial-1"]
