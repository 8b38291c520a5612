"""HTTP Live Streaming as a standard player asks for it (RFC 8216): stored and live media playlists."""

from dataclasses import dataclass
from urllib.parse import urljoin

from migrascope.workload.player import NS, Player

_START_BEFORE_END = 3


class PlaylistError(ValueError):
    """A playlist that this player cannot play; the message says why."""


@dataclass(frozen=True)
class Segment:
    """One segment: its URI as written, its length in seconds (EXTINF), and its number in the stream."""

    uri: str
    duration_s: float
    number: int


@dataclass(frozen=True)
class Playlist:
    """A media playlist. ended: no segment will be added."""

    target_s: float
    segments: list[Segment]
    ended: bool


def parse_playlist(text: str) -> Playlist:
    """A media playlist. PlaylistError for anything else; tags that do not change what is asked for are passed over."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines or lines[0] != "#EXTM3U":
        raise PlaylistError("not a playlist: it does not begin with #EXTM3U")
    target, first, ended = 0.0, 0, False
    duration: float | None = None
    segments: list[Segment] = []
    try:
        for line in lines[1:]:
            name, _, value = line.partition(":")
            if name == "#EXT-X-TARGETDURATION":
                target = float(value)
            elif name == "#EXT-X-MEDIA-SEQUENCE":
                first = int(value)
            elif name == "#EXTINF":
                duration = float(value.split(",")[0])
            elif name == "#EXT-X-ENDLIST":
                ended = True
            elif name == "#EXT-X-STREAM-INF":
                raise PlaylistError("a master playlist, not a media playlist")
            elif not line.startswith("#"):
                if duration is None:
                    raise PlaylistError(f"segment {line} has no EXTINF")
                segments.append(Segment(line, duration, first + len(segments)))
                duration = None
    except ValueError as error:
        raise error if isinstance(error, PlaylistError) else PlaylistError(f"bad playlist: {error}") from error
    return Playlist(target, segments, ended)


async def watch_stored(player: Player, url: str) -> None:
    """Plays a stored video over and over with a full buffer: a segment is asked for when, at the pace of playing, as
    much has been played as was asked for before."""
    text = await player.text(url)
    if text is None:
        return
    playlist = parse_playlist(text)
    start_ns, media_s = player.now(), 0.0
    while playlist.segments:
        for segment in playlist.segments:
            if not await player.due(start_ns + round(media_s * NS)):
                return
            await player.media(urljoin(url, segment.uri), media_s, segment.duration_s)
            media_s += segment.duration_s


async def watch_live(player: Player, url: str) -> None:
    """Plays a live stream: begins three segments before the end of the playlist and asks for each new segment as soon
    as it is listed. After a reload that brought something the next follows one segment later, when the next segment is
    due. After one that brought nothing it follows a quarter of a segment later, sooner than half of the target
    duration as RFC 8216 (6.3.4) has it, whose whole seconds are long for short segments: so the reloads settle
    right behind the publication.
    """
    done: int | None = None
    media_s = 0.0
    due_ns = player.now()
    while await player.due(due_ns):
        text = await player.text(url)
        if text is None:
            return
        playlist = parse_playlist(text)
        if not playlist.segments:
            raise PlaylistError("a live playlist without segments")
        if done is None:
            done = playlist.segments[-1].number - _START_BEFORE_END
        new = [segment for segment in playlist.segments if segment.number > done]
        length_s = playlist.segments[-1].duration_s
        due_ns = max(due_ns + round((length_s if new else length_s / 4) * NS), player.now())
        for segment in new:
            # Those that left the playlist meanwhile took as long as this one: the target is whole seconds, rounded up.
            media_s += (segment.number - done - 1) * segment.duration_s
            await player.media(urljoin(url, segment.uri), media_s, segment.duration_s)
            media_s += segment.duration_s
            done = segment.number
