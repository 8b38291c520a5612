"""A volume read offline: whole, with a changed file, with a broken file system, with a ledger."""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from migrascope.lab.offline import LEDGER, examine
from migrascope.model.witness import record_line
from migrascope.node.paths import STATE
from migrascope.node.process import Where
from migrascope.study.labs.images import Images, prepare

pytestmark = pytest.mark.lab
PAGE = "/srv/site/style.css"


@pytest.fixture
async def images() -> Images:
    return await prepare(lambda text: None)


@pytest.fixture
async def folder() -> AsyncIterator[Path]:
    """A folder that the host image's programs see too."""
    path = STATE / f"test-{os.getpid()}"
    path.mkdir(parents=True)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def disk(images: Images, folder: Path) -> Path:
    """A volume as the image has it."""
    subprocess.run(["cp", "--sparse=always", images.boot.disk, folder / "disk"], check=True)
    return folder / "disk"


def debugfs(disk: Path, request: str) -> None:
    subprocess.run(["debugfs", "-w", "-R", request, disk], capture_output=True, check=True)


async def test_a_fresh_volume_is_whole(images: Images, disk: Path, folder: Path) -> None:
    found = await examine(disk, Where(None, images.host_root), folder)
    assert (found.fsck_code, found.ledger) == (0, b"")
    assert {path: found.site[path] for path in images.site} == images.site
    assert set(found.site) - set(images.site) == {"/online.html"}


async def test_a_ledger_comes_as_it_is(images: Images, disk: Path, folder: Path) -> None:
    book = folder / "book"
    book.write_bytes(record_line(1, "b" * 32, 0) + bytes(4096))
    debugfs(disk, f"write {book} {LEDGER}")
    found = await examine(disk, Where(None, images.host_root), folder)
    assert found.ledger == book.read_bytes()


async def test_a_changed_file_has_another_checksum(images: Images, disk: Path, folder: Path) -> None:
    other = folder / "other"
    other.write_text("body { color: red }")
    debugfs(disk, f"rm {PAGE}")
    debugfs(disk, f"write {other} {PAGE}")
    found = await examine(disk, Where(None, images.host_root), folder)
    changed = {path for path, checksum in images.site.items() if found.site.get(path) != checksum}
    assert (found.fsck_code, changed) == (0, {"/style.css"})


async def test_a_broken_file_system_is_not_clean(images: Images, disk: Path, folder: Path) -> None:
    debugfs(disk, f"clri {PAGE}")
    found = await examine(disk, Where(None, images.host_root), folder)
    assert found.fsck_code == 4
    assert "style.css" in found.fsck_text
