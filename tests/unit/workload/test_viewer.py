"""Players: playlists, boxes, and viewers of the film of the holding server and of a live stream of the publisher."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from recorded import Row, Running, program, rows, until

from migrascope.workload import film, hls, live, mp4, player, viewer

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
MASTER = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow.m3u8\n"


def test_playlist_of_a_stored_video() -> None:
    text = (
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-PLAYLIST-TYPE:VOD\n"
        "#EXTINF:2.000000,\nseg0.ts\n\n#EXTINF:1.5,a title\nseg1.ts\n#EXT-X-ENDLIST\n"
    )
    found = hls.parse_playlist(text)
    assert found == hls.Playlist(2.0, [hls.Segment("seg0.ts", 2.0, 0), hls.Segment("seg1.ts", 1.5, 1)], ended=True)


@pytest.mark.parametrize(
    "text",
    ["", "<html>", MASTER, "#EXTM3U\nseg.ts\n", "#EXTM3U\n#EXTINF:x,\nseg.ts\n", "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:a"],
)
def test_what_is_no_media_playlist_is_refused(text: str) -> None:
    with pytest.raises(hls.PlaylistError):
        hls.parse_playlist(text)


@given(newest=st.integers(0, 200), length=st.integers(1, 30))
def test_live_playlist_reads_back(newest: int, length: int) -> None:
    loop = [live.LoopSegment(Path("x"), round(0.5 + at / 100, 6)) for at in range(length)]
    text = live.playlist(loop, newest)
    found = hls.parse_playlist(text)
    assert [segment.number for segment in found.segments] == list(range(max(0, newest - 9), newest + 1))
    assert all(segment.uri == live.segment_name(segment.number) for segment in found.segments)
    assert all(segment.duration_s == loop[segment.number % length].duration_s for segment in found.segments)
    assert found.target_s >= max(segment.duration_s for segment in found.segments)
    assert not found.ended


def test_discontinuities_are_numbered_on_when_they_leave_the_window() -> None:
    """RFC 8216, 6.2.2: sequence plus the tags still listed is the number of times the loop began anew."""
    loop = [live.LoopSegment(Path("x"), 1.0)] * 4
    for newest in range(60):
        text = live.playlist(loop, newest)
        sequence = int(text.split("DISCONTINUITY-SEQUENCE:")[1].split("\n")[0])
        assert sequence + text.count("#EXT-X-DISCONTINUITY\n") == newest // 4


@given(duration=st.floats(0.5, 9000), size=st.integers(1000, 5000), cut=st.integers(160, 1000))
def test_movie_header_of_a_film_and_of_its_beginning(duration: float, size: int, cut: int) -> None:
    whole = film.mp4_film(duration, size)
    assert len(whole) == size
    header = mp4.movie_header(whole[:cut], 0, size)
    assert isinstance(header, bytes)
    assert mp4.duration_s(header) == pytest.approx(duration, abs=0.001)


def test_moov_behind_the_media_is_found_by_a_second_range() -> None:
    mvhd = b"\x01\0\0\0" + struct.pack(">QQIQ", 0, 0, 90_000, 180_000) + bytes(80)
    moov = struct.pack(">I4s", 16 + len(mvhd), b"moov") + struct.pack(">I4s", 8 + len(mvhd), b"mvhd") + mvhd
    media = struct.pack(">I4sQ", 1, b"mdat", 5016) + bytes(5000)
    whole = media + moov
    assert mp4.movie_header(whole[:100], 0, len(whole)) == len(media)
    header = mp4.movie_header(whole[len(media) :][:200], len(media), len(whole))
    assert isinstance(header, bytes)
    assert mp4.duration_s(header) == 2.0


@pytest.mark.parametrize("data", [bytes(8), b"\0\0\0\x10free" + bytes(8), b"<html></html>"])
def test_no_mp4_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        mp4.movie_header(data, 0, len(data))


@asynccontextmanager
async def site(application: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def static(folder: Path) -> web.Application:
    application = web.Application()
    application.router.add_static("/", folder)
    return application


def stored(folder: Path, count: int, duration_s: float, size: int) -> None:
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:1"]
    for number in range(count):
        (folder / f"s{number}.ts").write_bytes(bytes(size))
        lines += [f"#EXTINF:{duration_s},", f"s{number}.ts"]
    (folder / "index.m3u8").write_text("\n".join([*lines, "#EXT-X-ENDLIST", ""]))


async def watch(folder: Path, url: str, count: int, kind: str = "hls", *, is_live: bool = False) -> list[Row]:
    """The first `count` segments that a viewer asked for and got or lost, in order."""
    config = program(folder, kind=kind, url=url, live=is_live)
    async with Running(viewer.main, config):
        await until(lambda: len(rows(folder, "segment")) >= count)
    return rows(folder, "segment")[:count]


def check_arrivals(folder: Path, segments: list[Row]) -> None:
    arrivals = rows(folder, "arrival")
    for segment in segments:
        own = [row for row in arrivals if row["seq"] == segment["seq"]]
        assert sum(row["bytes"] for row in own) == segment["bytes"]
        assert all(segment["asked_ns"] < row["mono_ns"] <= segment["done_ns"] for row in own)


async def test_stored_hls_is_asked_for_at_the_pace_of_playing_and_loops(tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    stored(tmp_path / "www", 3, 0.04, 20_000)
    async with site(static(tmp_path / "www")) as url:
        seen = await watch(tmp_path, f"{url}/index.m3u8", 8)
    assert [row["media_start_s"] for row in seen] == pytest.approx([0.04 * at for at in range(8)])
    assert all((row["status"], row["bytes"], row["error"]) == (200, 20_000, "") for row in seen)
    start = seen[0]["asked_ns"]
    early = [row["asked_ns"] - start - row["media_start_s"] * 1e9 for row in seen]
    assert min(early) > -5e6, "never before it is due, but for when the first was asked for late"
    check_arrivals(tmp_path, seen)
    flows = {row["flow"] for row in rows(tmp_path, "tcp_info")}
    assert flows == {1}, "one kept connection"


async def test_mp4_is_asked_for_in_ranges_of_half_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mp4, "PIECE_S", 0.05)
    (tmp_path / "www").mkdir()
    whole = film.mp4_film(0.12, 100_000)
    (tmp_path / "www" / "video.mp4").write_bytes(whole)
    async with site(static(tmp_path / "www")) as url:
        seen = await watch(tmp_path, f"{url}/video.mp4", 6, "mp4")
    assert all((row["status"], row["error"]) == (206, "") for row in seen)
    assert sum(row["bytes"] for row in seen[:3]) == len(whole), "three ranges hold the whole file"
    starts = [row["media_start_s"] for row in seen]
    assert starts == pytest.approx([0, 0.05, 0.1, 0.12, 0.17, 0.22], abs=1e-4)
    assert sum(row["media_duration_s"] for row in seen) == pytest.approx(0.24)
    assert {row["kind"] for row in rows(tmp_path, "tcp_info")} == {"mp4"}
    check_arrivals(tmp_path, seen)


async def test_a_lost_connection_is_made_anew_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(player, "RETRY_S", 0.05)
    (tmp_path / "www").mkdir()
    stored(tmp_path / "www", 4, 0.02, 5000)
    troubles = {"/s1.ts": 2, "/s2.ts": 1}

    @web.middleware
    async def trouble(request: web.Request, handler: Handler) -> web.StreamResponse:
        if troubles.get(request.path, 0):
            troubles[request.path] -= 1
            if request.path == "/s2.ts":
                raise web.HTTPServiceUnavailable
            response = web.StreamResponse(headers={"Content-Length": "5000"})
            await response.prepare(request)
            await response.write(bytes(1000))
            assert request.transport is not None
            request.transport.close()
            return response
        return await handler(request)

    application = static(tmp_path / "www")
    application.middlewares.append(trouble)
    async with site(application) as url:
        seen = await watch(tmp_path, f"{url}/index.m3u8", 7)
    assert [row["seq"] for row in seen] == list(range(7))
    assert [row["media_start_s"] for row in seen] == pytest.approx([0, 0.02, 0.02, 0.02, 0.04, 0.04, 0.06])
    assert [bool(row["error"]) for row in seen] == [False, True, True, False, True, False, False]
    assert seen[1]["done_ns"] == 0
    assert seen[1]["bytes"] == 1000
    assert seen[4]["error"] == "status 503"
    gaps = [later["asked_ns"] - row["asked_ns"] for row, later in pairwise(seen)]
    assert gaps[1] < 45e6, "the first time at once"
    assert gaps[2] > 50e6, "then after the pause"


async def test_media_that_are_gone_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    stored(tmp_path / "www", 3, 0.01, 100)
    (tmp_path / "www" / "s1.ts").unlink()
    async with site(static(tmp_path / "www")) as url:
        seen = await watch(tmp_path, f"{url}/index.m3u8", 3)
    assert [row["error"] for row in seen] == ["", "status 404", ""]


def live_loop(folder: Path, count: int, duration_s: float) -> Path:
    folder.mkdir()
    names = [f"part{number}.ts" for number in range(count)]
    for number, name in enumerate(names):
        (folder / name).write_bytes(bytes([number]) * 1000)
    index = {"segments": [{"file": name, "duration_s": duration_s} for name in names]}
    (folder / "index.json").write_text(json.dumps(index))
    return folder


async def test_publisher_keeps_a_window_and_clears_what_left_it(tmp_path: Path) -> None:
    loop = live_loop(tmp_path / "loop", 3, 0.01)
    www = tmp_path / "www"
    (www / "live").mkdir(parents=True)
    (www / "live" / "seg999999.ts").write_bytes(b"left over")
    playlist = www / "live" / "index.m3u8"

    def newest() -> int:
        return hls.parse_playlist(playlist.read_text()).segments[-1].number if playlist.exists() else -1

    async with Running(live.main, program(tmp_path, loop=str(loop), www=str(www))):
        await until(lambda: newest() >= 25)
    there = {path.name for path in (www / "live").glob("*.ts")}
    listed = hls.parse_playlist(playlist.read_text()).segments
    assert len(listed) == live.WINDOW
    assert {segment.uri for segment in listed} <= there
    assert len(there) == 2 * live.WINDOW
    number = listed[-1].number
    published = www / "live" / listed[-1].uri
    assert published.read_bytes() == bytes([number % 3]) * 1000
    assert published.stat().st_nlink > 1


async def test_live_viewer_gets_each_segment_soon_after_it_is_listed(tmp_path: Path) -> None:
    loop = live_loop(tmp_path / "loop", 4, 0.4)
    www = tmp_path / "www"
    www.mkdir()
    config = program(tmp_path, "live", loop=str(loop), www=str(www))
    async with Running(live.main, config), site(static(www)) as url:
        await until(lambda: (www / "live" / "index.m3u8").exists())
        seen = await watch(tmp_path, f"{url}/live/index.m3u8", 9, is_live=True)
    assert [row["media_start_s"] for row in seen] == pytest.approx([0.4 * at for at in range(9)])
    assert all(row["error"] == "" and row["bytes"] == 1000 for row in seen)
    lag = sorted(row["asked_ns"] - row["media_start_s"] * 1e9 for row in seen[4:])
    assert lag[3] - lag[1] < 0.4e9, "no segment waits for the next one's reload"


async def test_live_viewer_passes_over_what_it_missed(tmp_path: Path) -> None:
    numbers = iter([range(10), range(20, 30), range(21, 31)])
    current = [next(numbers)]

    async def playlist(_: web.Request) -> web.Response:
        head = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{current[0][0]}\n"
        names = "".join(f"#EXTINF:0.02,\n{number}.ts\n" for number in current[0])
        current[0] = next(numbers, current[0])
        return web.Response(text=head + names)

    async def media(_: web.Request) -> web.Response:
        return web.Response(body=b"m")

    application = web.Application()
    application.router.add_get("/index.m3u8", playlist)
    application.router.add_get("/{name}.ts", media)
    async with site(application) as url:
        seen = await watch(tmp_path, f"{url}/index.m3u8", 14, is_live=True)
    starts = [row["media_start_s"] for row in seen]
    assert starts[:3] == pytest.approx([0, 0.02, 0.04])
    assert starts[3] == pytest.approx(0.06 + 10 * 0.02), "ten segments were missed, each as long as the others"
    assert starts[13] == pytest.approx(starts[3] + 10 * 0.02)


async def test_a_viewer_that_drains_asks_for_nothing_more(tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    stored(tmp_path / "www", 3, 0.02, 100)
    async with site(static(tmp_path / "www")) as url:
        config = program(tmp_path, kind="hls", url=f"{url}/index.m3u8", live=False)
        async with Running(viewer.main, config):
            await until(lambda: len(rows(tmp_path, "segment")) >= 3)
            config.stop(ending=False)
            before = len(rows(tmp_path, "segment"))
            await asyncio.sleep(0.15)
            assert len(rows(tmp_path, "segment")) <= before + 3
            asked = [row["asked_ns"] for row in rows(tmp_path, "segment")]
            await asyncio.sleep(0.1)
            assert [row["asked_ns"] for row in rows(tmp_path, "segment")] == asked
