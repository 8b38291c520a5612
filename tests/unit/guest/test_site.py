"""The website: every page well-formed, complete and without a link that leads nowhere."""

import json
import struct
import xml.etree.ElementTree as ElementTree
import zlib
from html.parser import HTMLParser
from pathlib import Path

import pytest

from migrascope.guest import site, video

VOID = {"meta", "link", "img", "source", "br"}
SOURCES = {
    "index": [],
    "none": [],
    "offline": ["/video/hls/index.m3u8", "/video/video.mp4"],
    "online": ["http://ORIGIN_ADDRESS/live/index.m3u8"],
    "relay": ["/live/index.m3u8"],
}


class Reader(HTMLParser):
    """Collects what a page refers to; a tag that closes another than the open one is an error."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.local: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        values = dict(attrs)
        if tag == "source":
            self.sources.append(values["src"] or "")
        elif address := values.get("src") or values.get("href"):
            self.local.append(address)
        if tag == "img":
            assert values["alt"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("site")
    site.write(made)
    return made


@pytest.mark.parametrize("name", SOURCES)
def test_pages_are_well_formed_and_complete(folder: Path, name: str) -> None:
    text = (folder / f"{name}.html").read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert not reader.open
    assert reader.sources == SOURCES[name]
    assert f"Scenario <strong>{name}</strong>" in text
    for address in reader.local:
        assert address == "data:," or (folder / address.lstrip("/")).is_file(), address


def test_the_pages_together_are_a_real_site(folder: Path) -> None:
    assert 10_000 < sum(path.stat().st_size for path in folder.glob("*.html")) < 40_000


def test_pictures_can_be_read(folder: Path) -> None:
    for picture in folder.glob("*.png"):
        content = picture.read_bytes()
        width, height = struct.unpack(">II", content[16:24])
        start = content.index(b"IDAT")
        length = int.from_bytes(content[start - 4 : start], "big")
        assert len(zlib.decompress(content[start + 4 : start + 4 + length])) == height * (1 + 3 * width)
    assert ElementTree.parse(folder / "tide.svg").getroot().tag.endswith("svg")


def test_the_loop_index_lists_files_and_durations(tmp_path: Path) -> None:
    (tmp_path / "index.m3u8").write_text("#EXTM3U\n#EXTINF:0.500000,\nseg0000.ts\n#EXTINF:0.480000,\nseg0001.ts\n")
    video.write_loop_index(tmp_path)
    index = json.loads((tmp_path / "index.json").read_text(encoding="ascii"))
    assert [(segment["file"], segment["duration_s"]) for segment in index["segments"]] == [
        ("seg0000.ts", 0.5),
        ("seg0001.ts", 0.48),
    ]
    assert not (tmp_path / "index.m3u8").exists()
