"""The four scenarios as data: which page the visitors fetch, and what the viewers of that page watch."""

from dataclasses import dataclass, field
from typing import Literal

from migrascope.model.axes import STREAMED, Scenario

LIVE_PLAYLIST = "/live/index.m3u8"

ViewerKind = Literal["hls", "mp4"]


@dataclass(frozen=True)
class ViewerSpec:
    """One viewer: what its player speaks, where it begins, and whether that is a live stream."""

    kind: ViewerKind
    url: str
    live: bool


@dataclass(frozen=True)
class ScenarioWorkload:
    """page_path: below the instance's address. needs_origin: the origin's live stream must run. has_video: its page
    holds one."""

    page_path: str
    needs_origin: bool
    has_video: bool
    viewers: list[ViewerSpec] = field(default_factory=list)


def scenario(name: Scenario, viewers: int, instance: str, origin: str) -> ScenarioWorkload:
    """The workload of a scenario with that many viewers (none where its page holds no video). Viewers of a stored
    video alternate between HLS and MP4; a live stream is HLS only. instance, origin: their addresses."""
    instance, origin = f"http://{instance}", f"http://{origin}"
    stored = (
        ViewerSpec("hls", f"{instance}/video/hls/index.m3u8", live=False),
        ViewerSpec("mp4", f"{instance}/video/video.mp4", live=False),
    )
    players = {
        "none": (),
        "offline": stored,
        "online": (ViewerSpec("hls", origin + LIVE_PLAYLIST, live=True),),
        "relay": (ViewerSpec("hls", instance + LIVE_PLAYLIST, live=True),),
    }[name]
    return ScenarioWorkload(
        page_path=f"/{name}.html",
        needs_origin=name in STREAMED,
        has_video=bool(players),
        viewers=[players[at % len(players)] for at in range(viewers)] if players else [],
    )
