"""A page that is observed: whether it is there, and a server that wants to be left alone."""

from pathlib import Path

import pytest
from loopback import Site

from migrascope.model.manners import pause_s
from migrascope.model.problem import Problem, UsageProblem
from migrascope.probe.fetches import Page as Fetched
from migrascope.probe.fetches import session
from migrascope.store.spool import Spool, read
from migrascope.study.observation.page import page_of


@pytest.mark.parametrize(
    ("status", "words"), [(404, "status 404 instead of 200"), (429, "the server asks for fewer visits")]
)
async def test_a_page_that_is_not_there_is_said(site: Site, status: int, words: str) -> None:
    site.status = status
    with pytest.raises(Problem, match=words):
        await page_of(f"http://127.0.0.1:{site.server_port}/", None)


async def test_nobody_serves_the_page() -> None:
    with pytest.raises(Problem, match="next: --url with a page that is there"):
        await page_of("http://127.0.0.1:1/", None)
    with pytest.raises(UsageProblem, match="is no URL of a page"):
        await page_of("ftp://127.0.0.1/", None)


async def test_a_server_that_wants_to_be_left_alone_is(site: Site, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{site.server_port}/"
    with (
        Spool(tmp_path, "echo_sent", source="a", host="client") as sent,
        Spool(tmp_path, "echo_reply", source="a", host="client") as replies,
        Spool(tmp_path, "back_off", source="a", host="client") as pauses,
    ):
        async with session(10) as client:
            page = Fetched(client, url, sent, replies, pauses)
            await page.fetch(0, 0)
            site.status = 429
            await page.fetch(1, 0)
            site.status = 200
            await page.fetch(2, 0)
    assert [row[0] for row in read(tmp_path / "echo_sent@a.jsonl")[1]] == [0, 1]
    assert [row[0] for row in read(tmp_path / "echo_reply@a.jsonl")[1]] == [0]
    ((from_ns, until_ns, why),) = read(tmp_path / "back_off@a.jsonl")[1]
    assert (until_ns - from_ns, why) == (10 * 10**9, "HTTP: status 429")


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (None, 10),
        ("30", 30),
        ("1", 10),
        ("1e9", 86_400),
        ("Thu, 01 Jan 1970 01:00:30 GMT", 30),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 10),
        ("later", 10),
    ],
)
def test_how_long_it_is_left_alone(given: str | None, seconds: float) -> None:
    assert pause_s(given, 3600.0) == seconds
