"""The two videos of the lab, made with the host image's ffmpeg: one stored in the guest, one that the origin loops.

Both show the same moving test picture with a clock burnt in, at a constant bit rate, so that a stall can be read off
the picture and the load is the same at every moment.
"""

import json
from pathlib import Path

DURATION_S = 60
FILE_BPS = 3_500_000
LIVE_BPS = 2_000_000
FILE_SEGMENT_S = 2.0
LIVE_SEGMENT_S = 0.5
RATE = 30
_AUDIO_BPS = 96_000


def _clock() -> str:
    font = "/usr/share/fonts/truetype/dejavu/DejaVuSansMono-Bold.ttf"
    text = r"%{pts\:hms}"
    return f"drawtext=fontfile={font}:text='{text}':fontsize=44:fontcolor=white:box=1:boxcolor=black@0.6:x=20:y=70"


def _coding(bps: int, key_s: float) -> list[str]:
    video = bps - _AUDIO_BPS
    frames = str(round(key_s * RATE))
    return [
        "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-profile:v", "high",
        "-b:v", str(video), "-minrate", str(video), "-maxrate", str(video), "-bufsize", str(round(video * key_s)),
        "-x264-params", f"nal-hrd=cbr:keyint={frames}:min-keyint={frames}:scenecut=0:force-cfr=1",
        "-c:a", "aac", "-b:a", str(_AUDIO_BPS),
    ]  # fmt: skip


def encode_command(file: Path, live: Path) -> list[str]:
    """ffmpeg that writes the guest's MP4 and the origin's source, at 640x360."""
    return [
        "/usr/bin/ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error", "-y",
        "-f", "lavfi", "-i", f"testsrc2=size=640x360:rate={RATE}:duration={DURATION_S}",
        "-f", "lavfi", "-i", f"sine=frequency=330:beep_factor=4:sample_rate=48000:duration={DURATION_S}",
        "-filter_complex", f"[0:v]{_clock()},split[file][live];[1:a]asplit[sound][livesound]",
        "-map", "[file]", "-map", "[sound]", *_coding(FILE_BPS, FILE_SEGMENT_S), "-movflags", "+faststart", str(file),
        "-map", "[live]", "-map", "[livesound]", *_coding(LIVE_BPS, LIVE_SEGMENT_S), str(live),
    ]  # fmt: skip


def segment_command(source: Path, folder: Path, length_s: float) -> list[str]:
    """ffmpeg that cuts a video into HLS segments seg0000.ts ... and index.m3u8, without encoding again."""
    return [
        "/usr/bin/ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error", "-y", "-i", str(source), "-c", "copy",
        "-f", "hls", "-hls_time", str(length_s), "-hls_list_size", "0", "-hls_playlist_type", "vod",
        "-hls_segment_filename", str(folder / "seg%04d.ts"), str(folder / "index.m3u8"),
    ]  # fmt: skip


def write_loop_index(folder: Path) -> None:
    """Turns the playlist of the live loop into index.json: {"segments": [{"file", "duration_s"}, ...]}."""
    playlist = folder / "index.m3u8"
    segments = []
    duration = 0.0
    for line in playlist.read_text(encoding="ascii").splitlines():
        if line.startswith("#EXTINF:"):
            duration = float(line.removeprefix("#EXTINF:").split(",")[0])
        elif line and not line.startswith("#"):
            segments.append({"file": line, "duration_s": duration})
    (folder / "index.json").write_text(json.dumps({"segments": segments}, indent=1), encoding="ascii")
    playlist.unlink()
