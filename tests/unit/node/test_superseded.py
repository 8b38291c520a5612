"""Superseded images: which of them go from the cache, and that nothing in use does."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from migrascope.cli import clean
from migrascope.node.image import cached
from migrascope.node.lock import free, locked
from migrascope.node.register import Register
from migrascope.node.superseded import UNUSED_DAYS, lock_of, remove_superseded, used
from migrascope.node.takedown import Cleaned

DAY = 86400
OLD, OLDER, NEW = "guest-000000000000000a", "guest-000000000000000b", "guest-000000000000000c"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Three guests, of which two were not used for longer than is kept, one root image as old, and no lab."""
    folder = tmp_path / "images"
    for name, days in ((OLD, UNUSED_DAYS + 1), (OLDER, UNUSED_DAYS + 9), (NEW, 0), ("guest-root-00000000000000aa", 99)):
        (folder / name / "site").mkdir(parents=True)
        asked(folder / name, days)
    return folder


def asked(image: Path, days: float) -> None:
    used(image)
    at = time.time() - days * DAY
    os.utime(lock_of(image), (at, at))


@pytest.fixture
def remove(cache: Path, tmp_path: Path) -> Callable[[], list[str]]:
    return lambda: remove_superseded(cache, tmp_path / "labs", tmp_path / "testbeds")


def names(cache: Path) -> set[str]:
    return {path.name for path in cache.iterdir() if path.is_dir()}


def test_superseded_ones_go_and_of_each_name_the_last_stays(cache: Path, remove: Callable[[], list[str]]) -> None:
    assert remove() == [OLDER, OLD]
    assert names(cache) == {NEW, "guest-root-00000000000000aa"}
    assert remove() == []


def test_what_was_used_within_the_days_stays(cache: Path, remove: Callable[[], list[str]]) -> None:
    asked(cache / OLD, UNUSED_DAYS - 1)
    assert remove() == [OLDER]


async def test_asking_for_an_image_is_using_it(cache: Path, remove: Callable[[], list[str]]) -> None:
    async def never(part: Path) -> None:
        raise AssertionError("it is there")

    name, _, key = OLDER.partition("-")
    assert await cached(name, key, never, cache, lambda text: None, 0) == cache / OLDER
    assert remove() == [OLD]


def test_what_a_living_lab_is_made_of_stays(cache: Path, tmp_path: Path, remove: Callable[[], list[str]]) -> None:
    Register.create(tmp_path / "labs").uses(cache / OLD / "disk", cache / NEW)
    assert remove() == [OLDER]


def test_a_lab_that_does_not_say_keeps_all(tmp_path: Path, remove: Callable[[], list[str]]) -> None:
    Register.create(tmp_path / "labs")
    assert remove() == []


def test_a_dead_lab_keeps_nothing(cache: Path, tmp_path: Path, remove: Callable[[], list[str]]) -> None:
    code = "import sys; from pathlib import Path; from migrascope.node.register import Register as R; "
    code += "R.create(Path(sys.argv[1])).uses(Path(sys.argv[2]))"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "labs"), str(cache / OLD)], check=True)
    assert remove() == [OLDER, OLD]


def test_a_testbed_that_is_down_keeps_its_images(cache: Path, tmp_path: Path, remove: Callable[[], list[str]]) -> None:
    register = Register.lasting("ms-one", tmp_path / "testbeds")
    assert not register.owned()
    assert remove() == []
    register.uses(cache / OLDER)
    assert remove() == [OLD]


def test_one_that_is_held_stays(cache: Path, remove: Callable[[], list[str]]) -> None:
    with free(lock_of(cache / OLD)) as holder:
        assert holder is None
        assert remove() == [OLDER]


def test_what_a_killed_removal_left_goes(cache: Path, remove: Callable[[], list[str]]) -> None:
    (cache / "guest-00000000000000dd.gone" / "site").mkdir(parents=True)
    remove()
    assert not list(cache.glob("*.gone"))


def test_an_image_without_a_stamp_gets_one(cache: Path, remove: Callable[[], list[str]]) -> None:
    lock_of(cache / OLD).unlink()
    assert remove() == [OLDER]
    assert lock_of(cache / OLD).exists()


async def test_a_new_image_takes_the_superseded_ones_along(
    cache: Path, remove: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("migrascope.node.image.remove_superseded", lambda _: remove())
    said: list[str] = []

    async def build(part: Path) -> None:
        part.mkdir()

    asked(cache / NEW, 2)
    await cached("guest", "000000000000000d", build, cache, said.append, 0)
    assert names(cache) == {NEW, "guest-000000000000000d", "guest-root-00000000000000aa"}
    assert OLD in said[-1]


def test_clean_says_what_it_removed(
    remove: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(clean, "clean_machine", Cleaned)
    monkeypatch.setattr(clean, "remove_superseded", lambda _: remove())
    assert clean.clean() == 0
    assert capsys.readouterr().out.split() == ["removed", "images:", f"{OLDER},", OLD]
    assert clean.clean() == 0
    assert capsys.readouterr().out == "nothing to remove\n"
    assert clean.clean(json=True) == 0
    assert json.loads(capsys.readouterr().out)["images"] == []


async def test_one_that_is_taken_away_while_it_is_asked_for_is_built_again(cache: Path) -> None:
    """It was there at the first look, and a removal held it."""
    name = OLDER.partition("-")[2]

    async def build(part: Path) -> None:
        (part / "anew").mkdir(parents=True)

    async with locked(lock_of(cache / OLDER), lambda holder: None):
        task = asyncio.create_task(cached("guest", name, build, cache, lambda text: None, 0))
        await asyncio.sleep(0)
        (cache / OLDER).rename(cache / f"{OLDER}.gone")
    assert (await task / "anew").is_dir()
