"""A fake cloud, and what a client of it needs: a clock without waits, and what an instance boots."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cloudlab import Clock
from fakecloud import FakeCloud

from migrascope.cloud.client import Cloud
from migrascope.lab.boot_image import BootImage
from migrascope.lab.openstack import instance as instances


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


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instances, "_POLL_S", 0.01)
    monkeypatch.setattr(instances, "_DOUBT_S", 0.3)


@pytest.fixture
def boot(tmp_path: Path) -> BootImage:
    for name in ("kernel", "initrd", "disk"):
        (tmp_path / name).write_bytes(name.encode())
    return BootImage(tmp_path / "kernel", tmp_path / "initrd", tmp_path / "disk", "console=ttyS0")
