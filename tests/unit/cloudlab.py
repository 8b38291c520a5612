"""Servers and labs on a fake cloud, for tests of what guards a run against a cloud."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakecloud import PASSWORD, FakeCloud

from leaks import leaks
from migrascope.cloud.client import Cloud, Patience
from migrascope.lab.boot_image import BootImage
from migrascope.lab.openstack import instance as instances
from migrascope.lab.openstack.access import CloudAccess
from migrascope.lab.openstack.instance import CloudInstance, login
from migrascope.lab.openstack.lab import OpenstackLab, hypervisors
from migrascope.lab.openstack.ownership import InstanceRequest
from migrascope.lab.openstack.resources import Resources
from migrascope.model.schedule import Factors
from migrascope.node.machine import TAG
from migrascope.node.register import Register

OURS, RUN = f"{TAG}-aaaaaaaaaaaa", "ms000001"
FACTORS = Factors("none", "pre-copy", 2**30, 0.0, 0.5, "warm")
SERVER = "/compute/v2.1/servers/[^/]+"


class Clock:
    """A clock that goes on only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    @property
    def patience(self) -> Patience:
        return Patience(60.0, lambda: self.now, self.sleep)


@pytest.fixture
def fake() -> Iterator[FakeCloud]:
    with FakeCloud() as cloud:
        yield cloud


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cloud(fake: FakeCloud, tmp_path: Path, clock: Clock) -> Cloud:
    return Cloud.connect("fake", fake.clouds_yaml(tmp_path), clock.patience)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instances, "_POLL_S", 0.01)
    monkeypatch.setattr(instances, "_DOUBT_S", 0.3)


@pytest.fixture
def boot(tmp_path: Path) -> BootImage:
    for name in ("kernel", "initrd", "disk"):
        (tmp_path / name).write_bytes(name.encode())
    return BootImage(tmp_path / "kernel", tmp_path / "initrd", tmp_path / "disk", "console=ttyS0")


def made(cloud: Cloud, boot: BootImage) -> CloudInstance:
    """A server on host one."""
    resources = Resources(cloud, InstanceRequest(RUN, OURS))
    ground = resources.ground(boot)
    server = resources.make(f"{RUN}-trial-1", ground, resources.flavor(512 * 2**20, 1), "one")
    instance = CloudInstance(f"{RUN}-trial-1", server, resources, CloudAccess(), {}, login("fake", None))
    asyncio.run(instance.prepare("two", FACTORS))
    return instance


def migrate(instance: CloudInstance, limit_s: float = 5.0) -> dict[str, Any]:
    return asyncio.run(instance.migrate("two", limit_s, lambda: None))


def lab(cloud: Cloud, boot: BootImage, folder: Path, kind: type[OpenstackLab] = OpenstackLab) -> OpenstackLab:
    register = Register.create(folder / "labs")
    resources = Resources(cloud, InstanceRequest(register.id, OURS))
    return kind(
        resources, resources.ground(boot), CloudAccess(), register, hypervisors(cloud), folder / "clouds.yaml", 1,
        {"lab": "openstack", "accelerator": "tcg", "qemu": "10.0.0"}, boot,
    )  # fmt: skip


def no_secret(folder: Path, fake: FakeCloud) -> None:
    """Neither the password of clouds.yaml nor a token of the cloud is in any file."""
    assert leaks(folder, [PASSWORD, *(f"token-{number}" for number in range(1000))]) == []
