"""The website's pages as visitors get them, against what they were built with."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from migrascope.trial.witnesses import pages

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
    assert await pages(site[1], None, SITE) == {"verdict": "pass", "evidence": "2 files as the website was built with"}


async def test_other_content_fails(site: tuple[Path, str]) -> None:
    (site[0] / "style.css").write_text("body { }")
    found = await pages(site[1], None, SITE)
    assert found["verdict"] == "fail"
    assert found["evidence"].endswith(": /style.css")


async def test_a_page_that_is_gone_fails(site: tuple[Path, str]) -> None:
    (site[0] / "index.html").unlink()
    found = await pages(site[1], None, SITE)
    assert (found["verdict"], "/index.html (status 404)" in found["evidence"]) == ("fail", True)


async def test_nobody_there_and_nothing_known_are_unknown() -> None:
    assert (await pages("127.0.0.1:1", None, SITE))["verdict"] == "unknown"
    assert (await pages("127.0.0.1:1", None, {}))["verdict"] == "unknown"
