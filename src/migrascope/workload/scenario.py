"""The four scenarios as data: which page the visitors fetch, and what the viewers of that page watch."""

from dataclasses import dataclass, field
from typing import Literal

from migrascope.model.axes import STREAMED, Scenario
from migrascope.model.family import FIRST, Family, host_of, source_of

LIVE_PLAYLIST = "/live/index.m3u8"

ViewerKind = Literal["hls", "mp4"]


@dataclass(frozen=True)
class ViewerSpec:
    """One viewer: what its player speaks, where it begins, and whether that is a live stream. outside: the address from
    which its video comes, with its port where that is not 80; None: from the instance."""

    kind: ViewerKind
    path: str
    live: bool
    outside: str | None = None

    def url(self, instance: str) -> str:
        """Where it begins, with the instance at that address."""
        return f"http://{self.outside or host_of(instance)}{self.path}"


@dataclass(frozen=True)
class ScenarioWorkload:
    """page_path: below the instance's address. needs_origin: the origin's live stream must run. has_video: its page
    holds one."""

    page_path: str
    needs_origin: bool
    has_video: bool
    viewers: list[ViewerSpec] = field(default_factory=list)

    def viewers_over(self, family: Family) -> dict[str, ViewerSpec]:
        """Those over an address family, by the source under which they record. What comes from outside comes over the
        first one alone."""
        numbered = enumerate(self.viewers, start=1)
        there = {number: viewer for number, viewer in numbered if family == FIRST or viewer.outside is None}
        return {source_of(f"viewer-{number}", family): viewer for number, viewer in there.items()}


def scenario(name: Scenario, viewers: int, origin: str) -> ScenarioWorkload:
    """The workload of a scenario with that many viewers (none where its page holds no video). Viewers of a stored
    video alternate between HLS and MP4; a live stream is HLS only. origin: the address from which it comes, with
    its port where that is not 80."""
    players = {
        "none": (),
        "offline": (
            ViewerSpec("hls", "/video/hls/index.m3u8", live=False),
            ViewerSpec("mp4", "/video/video.mp4", live=False),
        ),
        "online": (ViewerSpec("hls", LIVE_PLAYLIST, live=True, outside=origin),),
        "relay": (ViewerSpec("hls", LIVE_PLAYLIST, live=True),),
    }[name]
    return ScenarioWorkload(
        page_path=f"/{name}.html",
        needs_origin=name in STREAMED,
        has_video=bool(players),
        viewers=[players[at % len(players)] for at in range(viewers)] if players else [],
    )
