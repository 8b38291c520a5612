"""Requests to a cloud: reads are repeated for a minute, nothing is asked for twice that may have been done."""

import asyncio
from pathlib import Path

import pytest
from cloudlab import SERVER, Clock, made
from fakecloud import PASSWORD, FakeCloud, Fault

from migrascope.cloud.client import Cloud, CloudError
from migrascope.lab.boot_image import BootImage
from migrascope.lab.openstack.lab import hypervisors


@pytest.mark.parametrize("status", [0, 429, 500, 502, 503, 504])
def test_a_read_is_repeated_for_a_minute(fake: FakeCloud, cloud: Cloud, clock: Clock, status: int) -> None:
    fake.faults.append(Fault("GET .*/os-hypervisors", status, "busy", times=6))
    assert hypervisors(cloud) == ("one", "two")
    assert clock.slept == [0.5, 1, 2, 4, 8, 8]


def test_after_a_minute_the_read_fails_with_the_words_of_the_api(fake: FakeCloud, cloud: Cloud, clock: Clock) -> None:
    fake.faults.append(Fault("GET .*/os-hypervisors", 500, "Unexpected API Error.", times=None))
    with pytest.raises(CloudError, match=r"cloud fake: Unexpected API Error\.") as error:
        hypervisors(cloud)
    assert error.value.status == 500
    assert 50 < sum(clock.slept) <= 60


@pytest.mark.parametrize("status", [400, 403, 404, 409])
def test_a_refusal_is_not_repeated(fake: FakeCloud, cloud: Cloud, clock: Clock, status: int) -> None:
    fake.faults.append(Fault("GET .*/flavors/detail", status, "no"))
    with pytest.raises(CloudError, match="no"):
        cloud.compute("GET", "/flavors/detail")
    assert (clock.slept, fake.asked("GET .*/flavors/detail")) == ([], 1)


def test_the_api_says_when_to_come_again(fake: FakeCloud, cloud: Cloud, clock: Clock) -> None:
    fake.faults.append(Fault("POST .*/flavors", 429, "slower", {"Retry-After": "17"}))
    cloud.compute("POST", "/flavors", {"flavor": {"name": "f", "ram": 1, "vcpus": 1, "disk": 0}})
    assert (clock.slept, len(fake.nova.flavors)) == ([17.0], 1)
    fake.faults.append(Fault("GET .*/flavors/detail", 503, "slower", {"Retry-After": "61"}))
    with pytest.raises(CloudError, match="slower"):
        cloud.compute("GET", "/flavors/detail")


@pytest.mark.parametrize("status", [0, 500, 502, 503, 504])
def test_what_changes_something_is_asked_once(fake: FakeCloud, cloud: Cloud, clock: Clock, status: int) -> None:
    fake.faults.append(Fault("POST .*/flavors", status, "lost", after=True))
    with pytest.raises(CloudError) as error:
        cloud.compute("POST", "/flavors", {"flavor": {"name": "f", "ram": 1, "vcpus": 1, "disk": 0}})
    assert error.value.undecided
    assert (clock.slept, len(fake.nova.flavors)) == ([], 1)


@pytest.mark.parametrize("after", [True, False])
def test_a_removal_is_repeated(fake: FakeCloud, cloud: Cloud, boot: BootImage, after: bool) -> None:
    instance = made(cloud, boot)
    fake.faults += [Fault(f"DELETE {SERVER}", 0, after=after), Fault("DELETE .*/ports/.*", 503, after=after)]
    asyncio.run(instance.destroy())
    assert set(fake.kinds()) == {"images", "security_groups", "security_group_rules"}


def test_a_silent_api_has_not_answered(fake: FakeCloud, tmp_path: Path, clock: Clock) -> None:
    cloud = Cloud.connect("fake", fake.clouds_yaml(tmp_path, api_timeout=1.0), clock.patience)
    fake.faults.append(Fault("GET .*/os-hypervisors", 500, silent_s=10.0, times=2))
    assert hypervisors(cloud) == ("one", "two")
    assert clock.slept == [0.5, 1]


def test_a_token_that_expired_is_renewed(fake: FakeCloud, cloud: Cloud, clock: Clock) -> None:
    hypervisors(cloud)
    fake.tokens.clear()
    cloud.compute("POST", "/flavors", {"flavor": {"name": "f", "ram": 1, "vcpus": 1, "disk": 0}})
    assert list(cloud.connection.network.networks())
    assert (clock.slept, len(fake.nova.flavors), fake.asked("POST .*/auth/tokens")) == ([], 1, 2)


def test_a_password_that_is_wrong_is_told_at_once(fake: FakeCloud, tmp_path: Path, clock: Clock) -> None:
    path = fake.clouds_yaml(tmp_path)
    path.write_text(path.read_text().replace(PASSWORD, "another"))
    with pytest.raises(CloudError, match="requires authentication") as error:
        Cloud.connect("fake", path, clock.patience)
    assert (error.value.status, clock.slept, "another" in str(error.value)) == (401, [], False)
