"""Visitors against a scripted server on the loopback."""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from recorded import Row, Running, program, rows, until

from migrascope.workload import visitors

PAGE = b"p" * 3000


class Site:
    """A server that answers as `script` says for the number of each request, counted from 0."""

    def __init__(self, script: Callable[[int], bytes | None]) -> None:
        self._script = script
        self.requests = 0
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                number, self.requests = self.requests, self.requests + 1
                answer = self._script(number)
                if answer is None:
                    await asyncio.sleep(3600)
                writer.write(answer or b"")
                if b"connection: close" in head.lower() or not answer or answer.startswith(b"HTTP/1.1 200 CUT"):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def page(body: bytes = PAGE, status: str = "200 OK", length: int | None = None) -> bytes:
    return (
        b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (status.encode(), len(body) if length is None else length) + body
    )


@asynccontextmanager
async def site(script: Callable[[int], bytes | None]) -> AsyncIterator[tuple[Site, str]]:
    item = Site(script)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(item.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield item, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/none.html"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def record(
    folder: Path, url: str, condition: Callable[[], bool], *, new: float = 0.0, kept: float = 0.0, connections: int = 2
) -> list[Row]:
    config = program(folder, url=url, new_rate=new, kept_rate=kept, kept_connections=connections, seed=1)
    async with Running(visitors.main, config) as running:
        await until(condition)
        running.stop(ending=False)
        before = -1
        while before != (before := len(rows(folder, "visit"))):  # noqa: ASYNC110
            await asyncio.sleep(0.1)  # what is under way comes to its end
    return rows(folder, "visit")


async def test_each_new_visit_has_its_connection_and_its_stamps(tmp_path: Path) -> None:
    async with site(lambda _: page()) as (server, url):
        seen = await record(tmp_path, url, lambda: len(rows(tmp_path, "visit")) >= 10, new=100)
    assert server.connections == len(seen)
    for row in seen:
        assert row["due_ns"] <= row["sent_ns"] < row["connected_ns"] < row["first_byte_ns"] <= row["done_ns"]
        assert (row["kind"], row["status"], row["bytes"], row["error"]) == ("new", 200, len(PAGE), "")
    dues = [row["due_ns"] for row in sorted(seen, key=lambda row: row["seq"])]
    assert {later - due for due, later in pairwise(dues)} == {10_000_000}
    closing = [row for row in rows(tmp_path, "tcp_info") if row["closing"]]
    assert sorted(row["flow"] for row in closing) == sorted(row["connection"] for row in seen)
    assert all(row["bytes_received"] > len(PAGE) for row in closing)


async def test_kept_visits_share_their_connections_in_turn(tmp_path: Path) -> None:
    async with site(lambda _: page()) as (server, url):
        # by their turns: on a busy machine a later one is answered before one whose connection comes slowly
        seen = sorted(
            await record(tmp_path, url, lambda: len(rows(tmp_path, "visit")) >= 8, kept=100), key=lambda row: row["seq"]
        )
    assert server.connections == 2
    assert [row["connection"] for row in seen[:2]] == [row["connection"] for row in seen[2:4]]
    assert [row["connected_ns"] > 0 for row in seen] == [True, True] + [False] * (len(seen) - 2)
    sampled = [row for row in rows(tmp_path, "tcp_info") if not row["closing"]]
    assert {row["kind"] for row in sampled} == {"kept"}


async def test_visits_stay_due_while_answers_are_missing(tmp_path: Path) -> None:
    """Open loop: what hangs delays no later visit, and is recorded as unanswered at the end."""
    async with site(lambda number: None if number == 3 else page()) as (server, url):
        seen = await record(tmp_path, url, lambda: server.requests >= 10, new=100)
    lost = [row for row in seen if row["error"]]
    assert [row["error"] for row in lost] == ["no answer before the end"]
    assert (lost[0]["done_ns"], lost[0]["first_byte_ns"], lost[0]["status"]) == (0, 0, 0)
    assert lost[0]["connection"] in {row["flow"] for row in rows(tmp_path, "tcp_info") if row["closing"]}


async def test_a_visit_fails_some_time_after_it_was_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visitors, "TIMEOUT_S", 0.5)

    def served_again() -> bool:
        errors = [row["error"] for row in rows(tmp_path, "visit")]
        return any(errors) and "" in errors[errors.index(next(filter(None, errors))) :]

    async with site(lambda number: None if number == 1 else page()) as (_, url):
        seen = await record(tmp_path, url, served_again, kept=100, connections=1)
    assert "no answer within 0.5 s" in {row["error"] for row in seen}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (page(status="502 Bad Gateway"), "status 502"),
        (page(PAGE[:-1]), "2999 bytes instead of the page's 3000"),
        (page(PAGE[:100], status="200 CUT", length=3000), "payload|reset"),
        (b"", "disconnected|reset"),
    ],
)
async def test_an_answer_that_is_not_the_whole_page_is_an_error(tmp_path: Path, answer: bytes, error: str) -> None:
    async with site(lambda number: answer if number in (1, 2) else page()) as (_, url):
        seen = await record(tmp_path, url, lambda: len(rows(tmp_path, "visit")) >= 5, kept=100, connections=1)
    bad = [row for row in seen if row["error"]]
    assert bad
    assert all(re.search(error, row["error"].lower()) for row in bad)
    assert seen[0]["error"] == ""
    assert seen[-1]["error"] == "", "it reconnects where it must"


async def test_a_refused_connection_is_a_failed_visit(tmp_path: Path) -> None:
    async with site(lambda _: page()) as (_, url):
        pass
    seen = await record(tmp_path, url, lambda: len(rows(tmp_path, "visit")) >= 3, new=100)
    assert all("onnect" in row["error"] and row["connected_ns"] == 0 for row in seen)


async def test_no_visit_begins_after_draining(tmp_path: Path) -> None:
    config = program(tmp_path, url="", new_rate=200.0, kept_rate=0.0, kept_connections=1, seed=1)
    async with site(lambda _: page()) as (server, url):
        config.config["url"] = url
        async with Running(visitors.main, config) as running:
            await until(lambda: server.requests >= 6)
            running.stop(ending=False)
            stopped = time.monotonic_ns()
            await asyncio.sleep(0.1)
    dues = [row["due_ns"] for row in rows(tmp_path, "visit")]
    assert dues
    assert max(dues) <= stopped


async def test_a_guest_that_serves_a_tenth_is_not_buried_and_each_visit_leaves_a_row(tmp_path: Path) -> None:
    """Asked for 200 a second of each kind by an open loop, it has no more in its hands than it may have."""
    turn, served = asyncio.Lock(), 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal served
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                async with turn:
                    await asyncio.sleep(0.05)
                served += 1
                writer.write(page())
                if b"connection: close" in head.lower():
                    break
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/none.html"
    async with server:
        seen = await record(tmp_path, url, lambda: served >= 20, new=50, kept=50)
    refused = {row["error"] for row in seen if not row["done_ns"]} - {""}
    assert refused
    for error in refused:
        found = re.fullmatch(r"not served: (\d+) visits of its kind are under way", error)
        assert found, error
        # those whose connections were not made yet come on top
        assert visitors.LEAST_MOST <= int(found[1]) < 2 * visitors.LEAST_MOST
    for kind in ("new", "kept"):
        mine = sorted((row for row in seen if row["kind"] == kind), key=lambda row: row["seq"])
        assert [row["seq"] for row in mine] == list(range(len(mine)))
        assert [row for row in mine if row["error"]]
        made = [row for row in mine if not row["error"]]
        for row in made:
            under_way = [
                item
                for item in made
                if item["due_ns"] < row["due_ns"] < item["done_ns"] and item["connected_ns"] < row["due_ns"]
            ]
            assert len(under_way) <= visitors.LEAST_MOST + 1


async def test_a_server_that_wants_to_be_left_alone_is_not_asked(tmp_path: Path) -> None:
    refusal = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n"
    async with site(lambda number: page() if number < 3 else refusal) as (server, url):

        def refused() -> bool:
            return sum(str(row["error"]).startswith("not asked") for row in rows(tmp_path, "visit")) >= 10

        seen = await record(tmp_path, url, refused, kept=50, connections=1)
        assert server.requests == sum(row["status"] > 0 for row in seen) < len(seen)
    assert {row["error"] for row in seen if not row["sent_ns"]} == {
        "not asked: the server wants to be left alone (status 429)"
    }
