"""The website that the guest serves: one small-town paper, one page for each scenario, pictures of our own making."""

import math
import struct
import zlib
from collections.abc import Callable
from html import escape
from pathlib import Path

SCENARIOS = {
    "none": ("Text and pictures", "This page holds text and pictures, all from the instance's own volume."),
    "offline": ("A film from the archive", "The film on this page is a file on the instance's own volume."),
    "online": ("Live from outside", "Your browser fetches the live picture on this page straight from its origin."),
    "relay": ("Live, passed on", "The live picture on this page comes from its origin through this instance."),
}
_VIDEOS = {
    "offline": (("/video/hls/index.m3u8", "application/vnd.apple.mpegurl"), ("/video/video.mp4", "video/mp4")),
    "online": (("http://ORIGIN_ADDRESS/live/index.m3u8", "application/vnd.apple.mpegurl"),),
    "relay": (("/live/index.m3u8", "application/vnd.apple.mpegurl"),),
}
_STORY = (
    "The mail boat came in on the morning tide with forty sacks, two bicycles and a crate of lemons. The harbour "
    "master signed for all of it before the gulls had taken notice.",
    "Nobody in the upper town heard the bell. The keeper says he rang it all the same, three times, as the rule asks, "
    "and wrote the hour into the book.",
    "The new lamp burns steadier than the old one. From the western quay one can count the seconds between two flashes "
    "and set a watch by them, which several people now do.",
    "A house can be moved while people live in it, the carpenter holds, if only they are told not to open the door "
    "at the one moment when there is nothing behind it.",
    "The baker kept her shop open through the whole move. Those who came while the cart crossed the bridge waited a "
    "little; those who came before and after noticed only that the window faced another street.",
    "The clock on the customs house was carried across the square still ticking. It lost less than a second, "
    "by the reckoning of the school, and the school is proud of its reckoning.",
    "Fog is forecast for the second half of the week. Boats without a lamp are asked to stay in; boats with a lamp "
    "are asked to light it.",
    "The choir meets on Thursday. Basses are wanted, and so is a key to the hall.",
)
_CSS = """:root { --ink: #1d2b36; --sea: #1f6f8b; --sand: #f6f1e7; --line: #d9cfbd; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--sand); color: var(--ink); font: 17px/1.6 Georgia, "Times New Roman", serif; }
header { background: var(--sea); color: white; padding: 1.4rem max(1rem, calc(50vw - 30rem)); }
header h1 { margin: 0; font-size: 2rem; letter-spacing: .02em; }
header p { margin: .2rem 0 0; opacity: .85; }
nav { display: flex; gap: 1.2rem; flex-wrap: wrap; padding: .7rem max(1rem, calc(50vw - 30rem)); }
nav { background: #174f63; }
nav a { color: white; text-decoration: none; padding-bottom: .1rem; }
nav a[aria-current] { border-bottom: 2px solid #ffd27a; }
main { max-width: 60rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
main h2 { margin: 1.6rem 0 .4rem; color: var(--sea); }
.scenario { border-left: 4px solid #ffb347; background: white; padding: .7rem 1rem; margin: 0 0 1.4rem; }
video, figure img { width: 100%; display: block; border-radius: 4px; background: black; }
figure { margin: 1.2rem 0; }
figcaption { font-size: .88rem; opacity: .75; padding-top: .3rem; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: 1rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; background: white; }
th, td { text-align: right; padding: .25rem .7rem; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; }
footer { border-top: 1px solid var(--line); padding: 1rem; text-align: center; font-size: .85rem; }
"""

Colour = tuple[float, float, float]


def write(folder: Path) -> None:
    """Writes the site: index.html, a page for each scenario, style.css and the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "style.css").write_text(_CSS, encoding="utf-8")
    (folder / "tide.svg").write_text(tide_chart(), encoding="utf-8")
    for number, name in enumerate(("harbour", "dusk", "fog")):
        (folder / f"{name}.png").write_bytes(png(320, 200, _sea(number)))
    (folder / "index.html").write_text(page(None), encoding="utf-8")
    for scenario in SCENARIOS:
        (folder / f"{scenario}.html").write_text(page(scenario), encoding="utf-8")


def page(scenario: str | None) -> str:
    """The HTML of a scenario's page; None is the index. Of online.html the guest fills in ORIGIN_ADDRESS."""
    title, words = SCENARIOS[scenario] if scenario else ("All editions", "Choose an edition: each is a scenario.")
    links = [("index", "All editions"), *((name, heading) for name, (heading, _) in SCENARIOS.items())]
    current = scenario or "index"
    entries = "\n".join(
        f'<a href="/{name}.html"{" aria-current=" + chr(34) + "page" + chr(34) if name == current else ""}>'
        f"{escape(heading)}</a>"
        for name, heading in links
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} · The Harbour Gazette</title>
<link rel="stylesheet" href="/style.css">
<link rel="icon" href="data:,">
</head>
<body>
<header><h1>The Harbour Gazette</h1><p>News of a town that moves house while its lights stay on</p></header>
<nav>
{entries}
</nav>
<main>
<p class="scenario">Scenario <strong>{current}</strong>: {escape(words)}</p>
{_video(scenario)}<h2>{escape(title)}</h2>
{_paragraphs(current)}
<div class="pictures">
{_picture("harbour.png", "The harbour at noon")}
{_picture("dusk.png", "The same, an hour after sunset")}
{_picture("fog.png", "Thursday's fog, as forecast")}
</div>
<h2>Tides</h2>
<figure><img src="/tide.svg" width="720" height="180" alt="Height of the tide over a week">
<figcaption>Height of the tide over the week, in metres</figcaption></figure>
{_tides()}
</main>
<footer>The Harbour Gazette is the test site of Migrascope.</footer>
</body>
</html>
"""


def _video(scenario: str | None) -> str:
    sources = _VIDEOS.get(scenario or "")
    if sources is None:
        return ""
    lines = "\n".join(f'<source src="{address}" type="{kind}">' for address, kind in sources)
    return (
        f'<figure><video controls autoplay muted playsinline width="640" height="360">\n{lines}\n</video>\n'
        "<figcaption>The clock in the picture counts from the start of the film.</figcaption></figure>\n"
    )


def _paragraphs(current: str) -> str:
    start = len(current) % len(_STORY)
    return "\n".join(f"<p>{escape(text)}</p>" for text in (*_STORY[start:], *_STORY[:start]))


def _picture(name: str, caption: str) -> str:
    return (
        f'<figure><img src="/{name}" width="320" height="200" alt="{caption}">\n'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def tide_m(hour: float) -> float:
    """Height of the tide in metres: the two lunar and solar half-day waves."""
    return 2.1 + 1.3 * math.cos(2 * math.pi * hour / 12.42) + 0.45 * math.cos(2 * math.pi * hour / 12.0 + 0.6)


def _tides() -> str:
    days = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
    hours = range(0, 24, 2)
    head = "".join(f"<th>{hour:02d} h</th>" for hour in hours)
    rows = "\n".join(
        f"<tr><td>{day}</td>" + "".join(f"<td>{tide_m(24 * number + hour):.1f}</td>" for hour in hours) + "</tr>"
        for number, day in enumerate(days)
    )
    return f"<table>\n<thead><tr><th>Day</th>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>"


def tide_chart() -> str:
    """The tide of a week as a line in SVG."""
    points = " ".join(f"{hour * 720 / 168:.1f},{170 - 40 * tide_m(hour):.1f}" for hour in range(169))
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 180" width="720" height="180">\n'
        '<rect width="720" height="180" fill="#fff"/>\n'
        f'<polyline points="{points}" fill="none" stroke="#1f6f8b" stroke-width="2"/>\n</svg>\n'
    )


def _sea(number: int) -> Callable[[float, float], Colour]:
    """A picture as a function of x and y in 0..1: sky, a light, and waves below the horizon."""
    sky, low, water = (
        ((90, 160, 215), (220, 235, 245), (25, 95, 125)),
        ((40, 35, 80), (240, 140, 80), (25, 40, 75)),
        ((175, 180, 182), (205, 208, 208), (120, 135, 140)),
    )[number]

    def colour(x: float, y: float) -> Colour:
        if y < 0.6:
            light = 90 * math.exp(-60 * ((x - 0.7) ** 2 + (y - 0.35) ** 2)) * (number < 2)
            mixed = [a + (b - a) * y / 0.6 + light for a, b in zip(sky, low, strict=True)]
        else:
            depth = 1 / (y - 0.55)
            wave = 12 * math.sin(7 * depth + 14 * x) + 8 * math.sin(23 * depth - 31 * x + number)
            mixed = [value + wave for value in water]
        return mixed[0], mixed[1], mixed[2]

    return colour


def png(width: int, height: int, colour: Callable[[float, float], Colour]) -> bytes:
    """A PNG picture of a function of x and y in 0..1 that gives red, green and blue in 0..255 (clipped)."""
    rows = bytearray()
    for y in range(height):
        rows.append(0)
        for x in range(width):
            rows += bytes(max(0, min(255, round(part))) for part in colour(x / width, y / height))

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(rows), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
