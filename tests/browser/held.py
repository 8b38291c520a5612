"""The lab's own media from an origin that holds every answer back for a while."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from migrascope.guest import site, video
from migrascope.lab.host_image import HOST
from migrascope.node.image import root_image
from migrascope.node.process import Where, run
from migrascope.workload import live

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
NS = 10**9
_TYPES = {".m3u8": "application/vnd.apple.mpegurl", ".ts": "video/mp2t"}
LEAD_S = 3.0
"""So far ahead of playing the MP4 is sent, as by a link that is no faster than the video."""
_LIVE_PAGE = (
    f"<!doctype html><video muted autoplay></video><script>{Path(__file__).with_name('live.js').read_text()}</script>"
)
_PLAIN_PAGE = '<!doctype html><video muted autoplay src="{}"></video>'


async def make_media(folder: Path) -> None:
    """The stored film (video/video.mp4, video/hls) and the live loop (live), as the lab's image has them."""
    where = Where(root=await root_image(HOST), only=folder)
    stored, loop = folder / "video" / "hls", folder / "live"
    for made in (stored, loop):
        made.mkdir(parents=True)
    inside = Path("/srv")
    file, source = inside / "video/video.mp4", inside / "loop.mp4"
    await run("ffmpeg", video.encode_command(file, source), where, timeout_s=300)
    await run("ffmpeg", video.segment_command(file, inside / "video/hls", video.FILE_SEGMENT_S), where)
    await run("ffmpeg", video.segment_command(source, inside / "live", video.LIVE_SEGMENT_S), where)
    video.write_loop_index(loop)
    site.write(folder)


class Held:
    """The website's pages and media. from_ns, until_ns: the hold (mono), 0 before there was one."""

    def __init__(self, media: Path) -> None:
        self._media, self._loop = media, live.read_loop(media / "live")
        self._begun, self._armed_s = time.monotonic(), 0.0
        self.from_ns, self.until_ns = 0, 0

    def hold(self, length_s: float) -> None:
        """Holds back all answers so long, from the model viewer's next request for media on: so both miss the same."""
        self._armed_s = length_s

    @property
    def over(self) -> bool:
        """Whether a hold was, and is over."""
        return 0 < self.until_ns < time.monotonic_ns()

    @asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        """The origin's URL."""
        application = web.Application(middlewares=[self._holding])
        application.router.add_get("/model/live", self._live_page)
        application.router.add_get("/model/mp4", self._mp4_page)
        application.router.add_get("/model/stored", self._stored_page)
        application.router.add_get("/live/index.m3u8", self._playlist)
        application.router.add_get(r"/live/seg{number:\d+}.ts", self._segment)
        application.router.add_get("/video/video.mp4", self._mp4)
        application.router.add_get("/video/hls/{name}", self._stored)
        application.router.add_static("/", self._media)
        runner = web.AppRunner(application, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    @web.middleware
    async def _holding(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        modelled = "User-Agent" not in request.headers  # every browser says what it is
        if self._armed_s and modelled and request.path.endswith((".ts", ".mp4")):
            self.from_ns = time.monotonic_ns()
            self.until_ns, self._armed_s = self.from_ns + round(self._armed_s * NS), 0.0
        await self._held()
        return await handler(request)

    async def _held(self) -> None:
        await asyncio.sleep(max(0.0, (self.until_ns - time.monotonic_ns()) / NS))

    async def _live_page(self, _: web.Request) -> web.Response:
        return web.Response(text=_LIVE_PAGE, content_type="text/html")

    async def _stored_page(self, _: web.Request) -> web.Response:
        return web.Response(text=_PLAIN_PAGE.format("/video/hls/index.m3u8"), content_type="text/html")

    async def _mp4_page(self, _: web.Request) -> web.Response:
        return web.Response(text=_PLAIN_PAGE.format("/video/video.mp4"), content_type="text/html")

    async def _playlist(self, _: web.Request) -> web.Response:
        newest = live.WINDOW + int((time.monotonic() - self._begun) / video.LIVE_SEGMENT_S)
        return web.Response(text=live.playlist(self._loop, newest), content_type="application/vnd.apple.mpegurl")

    async def _segment(self, request: web.Request) -> web.Response:
        path = self._loop[int(request.match_info["number"]) % len(self._loop)].path
        return web.Response(body=path.read_bytes(), content_type="video/mp2t")

    async def _stored(self, request: web.Request) -> web.Response:
        path = self._media / "video/hls" / request.match_info["name"]
        return web.Response(body=path.read_bytes(), content_type=_TYPES[path.suffix])

    async def _mp4(self, request: web.Request) -> web.StreamResponse:
        """By ranges, at the pace of playing."""
        whole = (self._media / "video/video.mp4").read_bytes()
        asked = request.http_range
        first, end = asked.start or 0, min(asked.stop or len(whole), len(whole))
        answer = web.StreamResponse(status=206 if "Range" in request.headers else 200)
        answer.content_type, answer.content_length = "video/mp4", end - first
        answer.headers["Accept-Ranges"] = "bytes"
        if answer.status == 206:
            answer.headers["Content-Range"] = f"bytes {first}-{end - 1}/{len(whole)}"
        await answer.prepare(request)
        rate, begun, sent = len(whole) / video.DURATION_S, time.monotonic(), first
        while sent < end:
            await self._held()
            due = first + round(rate * (LEAD_S + time.monotonic() - begun))
            if (upto := min(due, end, sent + 65536)) > sent:
                await answer.write(whole[sent:upto])
                sent = upto
            else:
                await asyncio.sleep(0.02)
        return answer
