"""The holding server, seen by a raw client, by visitors and by viewers; scenarios."""

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, get_args

from recorded import Running, program, rows, until

from migrascope.model.axes import Scenario
from migrascope.workload import hold, mp4, viewer, visitors
from migrascope.workload.scenario import scenario

S = 10**9


class Answer:
    """One answer as a client sees it: its head, its body and when they were there."""

    def __init__(self, head: bytes, body: bytes) -> None:
        self.head, self.body, self.at_ns = head.decode(), body, time.monotonic_ns()


async def ask(port: int, path: str, more: str = "") -> Answer:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    body = await reader.read(-1)
    writer.close()
    return Answer(head, body)


async def serve(stack: AsyncExitStack, folder: Path, port: int, schedule: list[dict[str, Any]]) -> None:
    config = program(folder, "hold", address="127.0.0.1", port=port, schedule=schedule)
    await stack.enter_async_context(Running(hold.main, config))

    async def listening() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    while not await listening():  # noqa: ASYNC110
        await asyncio.sleep(0.005)


async def test_pages_are_held_until_the_end_and_media_are_not(tmp_path: Path, unused_tcp_port: int) -> None:
    async with AsyncExitStack() as stack:
        began = time.monotonic_ns()
        await serve(stack, tmp_path, unused_tcp_port, [{"at_s": 1.0, "hold_s": 0.5, "kind": "http"}])
        quick = await ask(unused_tcp_port, "/")
        assert quick.body == hold.PAGE
        await asyncio.sleep(max(0.0, (began + 1.2 * S - time.monotonic_ns()) / S))
        media = asyncio.create_task(ask(unused_tcp_port, "/video/seg0003.ts"))
        held = await asyncio.gather(*(ask(unused_tcp_port, "/") for _ in range(3)))
        assert (await media).at_ns < held[0].at_ns
        await until(lambda: rows(tmp_path, "hold", "hold"))
    (row,) = rows(tmp_path, "hold", "hold")
    assert (row["kind"], row["nominal_s"]) == ("http", 0.5)
    assert row["until_ns"] - row["from_ns"] >= 0.499 * S
    assert row["bound_ns"] >= 0
    assert all(answer.body == hold.PAGE for answer in held)
    assert all(row["until_ns"] < answer.at_ns for answer in held)
    assert quick.at_ns < row["from_ns"]


async def test_a_player_hold_begins_with_the_next_request(tmp_path: Path, unused_tcp_port: int) -> None:
    async with AsyncExitStack() as stack:
        await serve(stack, tmp_path, unused_tcp_port, [{"at_s": 0.0, "hold_s": 0.1, "kind": "player"}])
        playlist = await ask(unused_tcp_port, "/video/index.m3u8")
        assert "ENDLIST" in playlist.body.decode()
        asked = time.monotonic_ns()
        first, second = await asyncio.gather(*(ask(unused_tcp_port, "/video/seg0000.ts") for _ in range(2)))
        free = await ask(unused_tcp_port, "/video/seg0000.ts")
    (row,) = rows(tmp_path, "hold", "hold")
    assert asked < row["from_ns"]
    assert row["until_ns"] - row["from_ns"] >= 0.099 * S
    assert min(first.at_ns, second.at_ns) > row["until_ns"]
    assert free.body == first.body


async def test_the_film_is_served_by_ranges(tmp_path: Path, unused_tcp_port: int) -> None:
    async with AsyncExitStack() as stack:
        await serve(stack, tmp_path, unused_tcp_port, [])
        beginning = await ask(unused_tcp_port, "/video/video.mp4", "Range: bytes=0-499\r\n")
        gone = await ask(unused_tcp_port, "/video/seg9999.ts")
    assert beginning.head.startswith("HTTP/1.1 206 ")
    assert len(beginning.body) == 500
    size = int(beginning.head.lower().split("content-range: bytes 0-499/")[1].split("\r\n")[0])
    header = mp4.movie_header(beginning.body, 0, size)
    assert isinstance(header, bytes)
    assert mp4.duration_s(header) == 60
    assert gone.head.startswith("HTTP/1.1 404 ")


async def test_visitors_and_a_viewer_see_the_truth(tmp_path: Path, unused_tcp_port: int) -> None:
    """Whatever was due while a hold lasted was answered after it, however busy this machine is."""
    schedule = [{"at_s": 0.3, "hold_s": 0.25, "kind": "http"}, {"at_s": 0.6, "hold_s": 0.25, "kind": "player"}]
    url = f"http://127.0.0.1:{unused_tcp_port}"
    rates = {"new_rate": 50.0, "kept_rate": 50.0, "kept_connections": 5, "seed": 1}
    async with AsyncExitStack() as stack:
        await serve(stack, tmp_path, unused_tcp_port, schedule)
        await stack.enter_async_context(Running(visitors.main, program(tmp_path, "v", url=f"{url}/", **rates)))
        playlist = {"url": f"{url}/video/index.m3u8", "kind": "hls", "live": False}
        await stack.enter_async_context(Running(viewer.main, program(tmp_path, "w", **playlist)))
        await until(lambda: len(rows(tmp_path, "hold", "hold")) == 2)
        ended = rows(tmp_path, "hold", "hold")[-1]["until_ns"]
        await until(lambda: rows(tmp_path, "segment", "w")[-1]["done_ns"] > ended)
    http, player = rows(tmp_path, "hold", "hold")
    for kind in ("new", "kept"):
        visits = [row for row in rows(tmp_path, "visit", "v") if row["kind"] == kind]
        held = [row for row in visits if http["from_ns"] <= row["due_ns"] < http["until_ns"]]
        assert held
        assert min(row["done_ns"] for row in held) >= http["until_ns"]
    (media,) = [row for row in rows(tmp_path, "segment", "w") if row["asked_ns"] < player["from_ns"] < row["done_ns"]]
    assert media["done_ns"] >= player["until_ns"]
    assert player["until_ns"] - player["from_ns"] >= 0.249 * S


INSTANCE, ORIGIN = "10.0.4.100", "192.0.2.40"


def test_scenarios_say_who_watches_what() -> None:
    assert scenario("none", 3, ORIGIN).viewers == []
    assert [spec.kind for spec in scenario("offline", 3, ORIGIN).viewers] == ["hls", "mp4", "hls"]
    assert {spec.url(INSTANCE) for spec in scenario("online", 2, ORIGIN).viewers} == {
        "http://192.0.2.40/live/index.m3u8"
    }
    assert {spec.url(INSTANCE) for spec in scenario("relay", 2, ORIGIN).viewers} == {
        "http://10.0.4.100/live/index.m3u8"
    }
    assert [spec.url("fd00::1") for spec in scenario("relay", 1, ORIGIN).viewers] == [
        "http://[fd00::1]/live/index.m3u8"
    ]
    names = get_args(Scenario)
    assert [scenario(name, 1, ORIGIN).page_path for name in names] == [f"/{name}.html" for name in names]
    assert [name for name in names if scenario(name, 1, ORIGIN).needs_origin] == ["online", "relay"]
    assert [name for name in names if not scenario(name, 0, ORIGIN).has_video] == ["none"]
    assert all(
        spec.live == scenario(name, 2, ORIGIN).needs_origin
        for name in names
        for spec in scenario(name, 2, ORIGIN).viewers
    )


def test_over_the_second_family_goes_what_comes_from_the_instance() -> None:
    assert list(scenario("relay", 2, ORIGIN).viewers_over("ipv4")) == ["viewer-1", "viewer-2"]
    assert list(scenario("relay", 2, ORIGIN).viewers_over("ipv6")) == ["viewer-1-ipv6", "viewer-2-ipv6"]
    assert list(scenario("online", 2, ORIGIN).viewers_over("ipv4")) == ["viewer-1", "viewer-2"]
    assert scenario("online", 2, ORIGIN).viewers_over("ipv6") == {}
