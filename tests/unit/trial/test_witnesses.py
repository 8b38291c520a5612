"""The website's pages as visitors get them, against what they were built with."""

import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest
from aiohttp import web

from migrascope.lab.contract import Instance
from migrascope.lab.offline import OfflineVolume
from migrascope.model.postcheck import PostCheck
from migrascope.model.problem import Problem
from migrascope.trial.witnesses import keep_volume, pages

CONTENT = {"/index.html": b"<p>hello</p>", "/style.css": b"body {}", "/video/video.mp4": b"long"}
SITE = {path: hashlib.sha256(content).hexdigest() for path, content in CONTENT.items()}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[tuple[Path, str]]:
    """The folder of a website without its video, and its address."""
    for path, content in CONTENT.items():
        if not path.startswith("/video"):
            (tmp_path / path[1:]).write_bytes(content)
    app = web.Application()
    app.router.add_static("/", tmp_path)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield tmp_path, f"127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_every_file_but_the_videos_is_compared(site: tuple[Path, str]) -> None:
    assert await pages(site[1], None, SITE) == PostCheck("pass", "2 files as the website was built with")


async def test_other_content_fails(site: tuple[Path, str]) -> None:
    (site[0] / "style.css").write_text("body { }")
    found = await pages(site[1], None, SITE)
    assert found.verdict == "fail"
    assert found.evidence.endswith(": /style.css")


async def test_a_page_that_is_gone_fails(site: tuple[Path, str]) -> None:
    (site[0] / "index.html").unlink()
    found = await pages(site[1], None, SITE)
    assert (found.verdict, "/index.html (status 404)" in found.evidence) == ("fail", True)


class Ended:
    """An instance whose volume is read, or fails to be."""

    def __init__(self, found: OfflineVolume | Exception | None) -> None:
        self._found = found

    async def offline(self) -> OfflineVolume | None:
        if isinstance(self._found, Exception):
            raise self._found
        return self._found


async def kept(tmp_path: Path, found: OfflineVolume | Exception | None) -> dict[str, bytes]:
    """The files that are kept of a volume."""
    await keep_volume(cast(Instance, Ended(found)), tmp_path, SITE)
    return {path.name: path.read_bytes() for path in tmp_path.iterdir()}


async def test_what_a_volume_shows_is_kept(tmp_path: Path) -> None:
    files = await kept(tmp_path, OfflineVolume(b"one" + bytes(9), 4, "broken", {"/a": "1"}))
    assert files["ledger"] == b"one"
    examined = json.loads(files["volume.json"])
    assert examined == {"fsck": {"code": 4, "text": "broken"}, "site": {"/a": "1"}, "expected": SITE}


async def test_why_a_volume_was_not_read_is_kept(tmp_path: Path) -> None:
    files = await kept(tmp_path, Problem("no space left"))
    assert {name: json.loads(text) for name, text in files.items()} == {"volume.json": {"error": "no space left"}}


async def test_a_volume_that_nobody_can_read_leaves_nothing(tmp_path: Path) -> None:
    assert await kept(tmp_path, None) == {}


async def test_nobody_there_and_nothing_known_are_unknown() -> None:
    assert (await pages("127.0.0.1:1", None, SITE)).verdict == "unknown"
    assert (await pages("127.0.0.1:1", None, {})).verdict == "unknown"
