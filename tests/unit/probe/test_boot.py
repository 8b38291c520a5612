"""The boot id of a machine, as it is asked for by HTTP."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback import Site, served

from migrascope.model.problem import Problem, UsageProblem
from migrascope.probe.boot import Asker, NoBootId, boot_id_of
from migrascope.probe.fetches import session
from migrascope.store.spool import Spool, read
from migrascope.study.observation.page import need_boot_id

ID = "5f0c1a52-6d1c-4a0e-9a52-0d4c6a3a6f10"


@pytest.fixture
def site() -> Iterator[Site]:
    with served() as server:
        server.body = ID.encode() + b"\n"
        yield server


@pytest.mark.parametrize(
    ("body", "found"),
    [(ID.encode() + b"\n", ID), (b'{"boot_id": "abc", "counter": 1}', "abc"), (b" a:b.c_d ", "a:b.c_d")],
)
def test_a_text_or_the_agents_answer_is_a_boot_id(body: bytes, found: str) -> None:
    assert boot_id_of(body) == found


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"boot": 1}', b"{" * 4096, b"\xff\xfe", b"x" * 101, b"a b"])
def test_what_is_no_boot_id_is_said(body: bytes) -> None:
    with pytest.raises(NoBootId):
        boot_id_of(body)


async def test_what_it_says_and_what_goes_wrong_is_recorded(site: Site, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{site.server_port}/"
    with Spool(tmp_path, "boot", source="a", host="client") as spool:
        async with session(10) as client:
            asker = Asker(client, url, spool)
            await asker.ask(0, 0)
            site.status = 404
            await asker.ask(1, 0)
            site.status = 429
            await asker.ask(2, 0)
            site.status = 200
            await asker.ask(3, 0)
            await Asker(client, "http://127.0.0.1:1/", spool).ask(0, 0)
    rows: list[Any] = list(read(tmp_path / "boot@a.jsonl")[1])
    assert [row[2] for row in rows] == [ID, "", "", ""]
    assert [row[3] for row in rows[:3]] == [
        "", "status 404 instead of 200", "status 429: it asks to be left alone for 10 s"
    ]  # fmt: skip
    assert "127.0.0.1:1" in rows[3][3]
    assert site.asked == 3
    assert all(row[0] <= row[1] for row in rows)


async def test_where_nobody_says_a_boot_id_it_is_said_at_once(site: Site) -> None:
    url = f"http://127.0.0.1:{site.server_port}/"
    await need_boot_id(url)
    site.body = b"<html>"
    with pytest.raises(Problem, match=r"--boot-url .*: no boot id, but '<html>'\n  next: --boot-url"):
        await need_boot_id(url)
    with pytest.raises(Problem, match="--boot-url"):
        await need_boot_id("http://127.0.0.1:1/")
    with pytest.raises(UsageProblem, match="--boot-url: 'ftp://x/' is no URL"):
        await need_boot_id("ftp://x/")
