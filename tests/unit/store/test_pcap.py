"""Captures are read as they were made, in every dialect, and what cannot be read says so."""

import gzip
import io
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pcapends import BASE

from captures import (
    Packet,
    block,
    classic,
    enhanced,
    interface,
    option,
    section,
)
from migrascope.store.pcap import reader, writer
from migrascope.store.pcap.reader import Capture, CaptureError

packets = st.lists(
    st.tuples(st.integers(0, 2**32 * 10**9 - 1), st.binary(max_size=90), st.integers(1, 9000)).map(
        lambda p: (p[0], p[1], max(p[2], len(p[1])))
    ),
    max_size=30,
)


def read(path: Path) -> list[Packet]:
    """Every packet of a file. They must be the same where records are cut by the end of what was read at once."""
    whole = read_once(path)
    if path.is_file():
        with small_parts():
            assert read_once(path) == whole
    return whole


def read_once(path: Path) -> list[Packet]:
    found: list[Packet] = []
    for frames in Capture(path).batches():
        for at, captured, time, wire in zip(
            frames.at.tolist(), frames.captured.tolist(), frames.time_ns.tolist(), frames.wire.tolist(), strict=True
        ):
            found.append((time, bytes(frames.data[at : at + captured]), wire))
    return found


@contextmanager
def small_parts() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "CHUNK", 60)
        patch.setattr(reader, "MOST_BYTES", 100_000)
        yield


def counted(path: Path) -> tuple[int, Capture]:
    """(how many packets there are, the capture when they were read), the same in parts of any size."""
    capture = Capture(path)
    count = sum(len(frames) for frames in capture.batches())
    with small_parts():
        other = Capture(path)
        assert sum(len(frames) for frames in other.batches()) == count
    names = ("damage", "cut", "skipped", "untimed", "untimed_bytes")
    assert [getattr(other, name) for name in names] == [getattr(capture, name) for name in names]
    return count, capture


@settings(max_examples=30)
@given(packets, st.sampled_from("<>"), st.booleans())
def test_classic(path: Path, made: list[Packet], order: str, nano: bool) -> None:
    path.write_bytes(classic(made, order=order, nano=nano))
    step = 1 if nano else 1000
    assert read(path) == [(time // step * step, frame, wire) for time, frame, wire in made]


@settings(max_examples=30)
@given(packets, st.sampled_from("<>"), st.sampled_from([None, 3, 6, 9, 12]), st.integers(-1000, 1000))
def test_pcapng(path: Path, made: list[Packet], order: str, resolution: int | None, offset: int) -> None:
    step = 10 ** (9 - (6 if resolution is None else resolution)) if resolution != 12 else 1
    units = 1000 if resolution == 12 else 1
    if resolution == 12:
        made = [(time % (2**63 // 1000), frame, wire) for time, frame, wire in made]
    path.write_bytes(
        section(order)
        + interface(order, resolution=resolution, offset_s=offset)
        + b"".join(enhanced(time // step * units, frame, wire, order=order) for time, frame, wire in made)
    )
    assert read(path) == [(time // step * step + offset * 10**9, frame, wire) for time, frame, wire in made]


@settings(max_examples=30)
@given(packets)
def test_what_is_written_is_read(path: Path, made: list[Packet]) -> None:
    with path.open("wb") as file:
        writer.write(file, "eth0", made)
    assert read(path) == made


@settings(max_examples=30)
@given(packets.filter(len), st.data())
def test_cut_anywhere(path: Path, made: list[Packet], data: st.DataObject) -> None:
    file = io.BytesIO()
    writer.write(file, "eth0", made)
    whole = file.getvalue()
    length = data.draw(st.integers(len(writer.header("eth0", 0)), len(whole)))
    path.write_bytes(whole[:length])
    count, capture = counted(path)
    ends = np.cumsum([len(writer.header("eth0", 0)), *(len(writer.packet(*packet)) for packet in made)])
    assert count == int((ends <= length).sum()) - 1
    assert capture.cut == (length not in ends)


def test_direction_and_application(path: Path) -> None:
    path.write_bytes(writer.header("eth0", 128) + b"".join(writer.packet(BASE, b"abc", 3, way) for way in (1, 2, 0)))
    assert [way for frames in Capture(path).batches() for way in frames.direction.tolist()] == [1, 2, 0]
    assert b"migrascope" in path.read_bytes()


def test_several_interfaces_sections_and_unknown_blocks(path: Path) -> None:
    path.write_bytes(
        section()
        + block(0x0BAD, b"what is this")
        + interface(resolution=9)
        + interface(resolution=0x80 | 10, link=101, offset_s=5)
        + enhanced(BASE, b"one", 3)
        + enhanced(3 << 9, b"two", 3, which=1)
        + block(2, struct.pack("<HHIIII", 1, 0, 0, 2048, 3, 3) + b"old\0")
        + section(">")
        + interface(">", resolution=3)
        + enhanced(1234, b"three", 5, order=">")
        + block(5, bytes(20), ">")
    )
    times = [BASE, 6_500_000_000, 7_000_000_000, 1_234_000_000]
    assert [(time, frame) for time, frame, _ in read(path)] == list(
        zip(times, [b"one", b"two", b"old", b"three"], strict=True)
    )
    capture = Capture(path)
    assert {link for frames in capture.batches() for link in frames.link.tolist()} == {1, 101}
    assert capture.skipped == 2


def test_direction_is_not_taken_from_another_option(path: Path) -> None:
    path.write_bytes(section() + interface() + enhanced(1, b"ab", 2, options=option(1, b"word") + option(0, b"")))
    assert [frames.direction.tolist() for frames in Capture(path).batches()] == [[0]]


def test_gzip_whole_and_cut(path: Path) -> None:
    made = [(BASE + at, bytes([at]) * 50, 50) for at in range(200)]
    squeezed = gzip.compress(classic(made, nano=True))
    path.write_bytes(squeezed)
    assert read(path) == made
    path.write_bytes(squeezed[:-20])
    assert read(path) == made[: len(read(path))]


SOUND = [(BASE + at, bytes([at]) * 50, 50) for at in range(200)]


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95, 1])
def test_of_a_gzip_that_is_cut_all_that_is_there_is_read(path: Path, kept: float) -> None:
    squeezed = gzip.compress(classic(SOUND, nano=True))
    path.write_bytes(squeezed[: round(len(squeezed) * kept) - 9])
    there = zlib.decompressobj(31).decompress(path.read_bytes())
    count, capture = counted(path)
    assert count == max(0, (len(there) - 24) // 66)
    assert capture.damage is not None
    assert "cut off" in capture.damage


def test_gzip_of_several_members_with_names(path: Path) -> None:
    whole = classic(SOUND, nano=True)
    named = b"\x1f\x8b\x08\x1e\0\0\0\0\0\xff\2\0xxname\0comment\0cc" + zlib.compress(whole[:999], wbits=-15)
    named += struct.pack("<II", zlib.crc32(whole[:999]), 999)
    path.write_bytes(named + gzip.compress(whole[999:]))
    assert read(path) == SOUND


def test_a_gzip_that_is_damaged_or_of_another_checksum(path: Path) -> None:
    squeezed, half = gzip.compress(classic(SOUND, nano=True)), zlib.compressobj(wbits=31)
    flushed = half.compress(classic(SOUND, nano=True)) + half.flush(zlib.Z_FULL_FLUSH)
    for content, words, least in (
        (squeezed[:-8] + bytes(8), "its checksum is not that of its content", 200),
        (squeezed + b"and more", "what follows its compressed part is no gzip", 200),
        (flushed + b"\x07" * 500, "its compression is damaged", 200),
    ):
        path.write_bytes(content)
        found, capture = counted(path)
        assert (words in str(capture.damage), capture.cut, found >= least) == (True, True, True)


NG_SOUND = section() + interface() + enhanced(1, b"one", 3) + enhanced(2, b"two", 3)


@pytest.mark.parametrize(
    ("content", "count", "words"),
    [
        (classic(SOUND) + bytes(1000), 200, "damaged at byte 13224: zeros and no record; the last 1000 of its 14224"),
        (classic(SOUND) + b"\xff" * 40, 200, "damaged at byte 13224: a record of 4294967295 bytes"),
        (classic(SOUND)[:-3], 199, "cut within its last packet, 3 bytes of which are missing"),
        (classic(SOUND)[:-60], 199, "cut within its last packet"),
        (NG_SOUND + bytes(40), 2, "damaged at byte 124: a block whose length cannot be (0); the last 40 of its 164"),
        (NG_SOUND + block(6, b"") + enhanced(3, b"three", 5), 2, "damaged at byte 124: "),
        (NG_SOUND[:-4] + b"\1\2\3\4", 1, "damaged at byte 88"),
        (NG_SOUND + enhanced(3, b"x", 1, which=1) + enhanced(4, b"y", 1), 2, "interface 1, which is not described"),
        (NG_SOUND + enhanced(3, b"x", 1, which=1) + interface(), 2, "interface 1, which is not described"),
        (NG_SOUND + section() + enhanced(4, b"y", 1), 2, "interface 0, which is not described"),
        (NG_SOUND + section()[:8] + bytes(20), 2, "a section without byte order"),
        (NG_SOUND + interface(offset_s=-(1 << 62)) + enhanced(3, b"x", 1), 2, "stamps are -4611686018427387904 s off"),
        (NG_SOUND + enhanced((1 << 64) - 1, b"x", 1) + enhanced(4, b"y", 1), 2, "a time stamp beyond the year 2116"),
        (NG_SOUND[:-6], 1, "cut within its last packet, 6 bytes of which are missing"),
    ],
)
def test_what_is_sound_is_read(path: Path, content: bytes, count: int, words: str) -> None:
    path.write_bytes(content)
    found, capture = counted(path)
    assert found == count
    assert words in str(capture.damage)


def test_simple_packets_between_others_are_counted(path: Path) -> None:
    simple = block(3, struct.pack("<I", 60) + b"abc")
    path.write_bytes(section() + interface() + simple + enhanced(1, b"one", 3) + simple + enhanced(2, b"two", 3))
    count, capture = counted(path)
    assert count == 2
    assert (capture.untimed, capture.untimed_bytes, capture.damage) == (2, 120, None)


def test_sections_of_either_byte_order_in_turn(path: Path) -> None:
    parts = [
        section(order) + interface(order, resolution=9) + enhanced(BASE + at, bytes([at % 250]), 1, order=order)
        for at, order in enumerate("<>>" * 300)
    ]
    path.write_bytes(b"".join(parts))
    assert read(path) == [(BASE + at, bytes([at % 250]), 1) for at in range(900)]


def test_every_resolution(path: Path) -> None:
    for resolution in (*range(25), 127, *range(0x80, 0x80 + 70), 0xFF):
        for offset in (0, 2 * 10**9, -2 * 10**9):
            units = 1 << (resolution & 0x7F) if resolution & 0x80 else 10**resolution
            stamps = [stamp for stamp in (0, 1, 12345, units, 1_700_000_000 * units) if stamp < 1 << 64]
            stamps = [stamp for stamp in stamps if stamp * 10**9 // units + offset * 10**9 <= 1 << 62]
            path.write_bytes(
                section()
                + interface(resolution=resolution, offset_s=offset)
                + b"".join(enhanced(stamp, b"x", 1) for stamp in stamps)
            )
            expected = [stamp * 10**9 // units + offset * 10**9 for stamp in stamps]
            assert [time for time, _, _ in read(path)] == pytest.approx(expected, abs=1000 if resolution & 0x80 else 1)


def test_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for content in (classic(SOUND, nano=True), gzip.compress(classic(SOUND, nano=True))):
        writer_end = threading.Thread(target=pipe.write_bytes, args=(content,))
        writer_end.start()
        assert read(pipe) == SOUND
        writer_end.join()


def test_headers_alone_are_an_empty_capture(path: Path) -> None:
    for whole in (classic([]), section(), section() + interface()):
        path.write_bytes(whole)
        assert read(path) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"GIF89a, and more than a header of it", "neither pcap nor pcapng"),
        (classic([])[:20], "header is cut"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + b"\xff" * 40, "compression is damaged"),
        (classic([]) + b"\xff" * 40, "damaged at byte 24"),
        (classic([]) + bytes(1000), "damaged at byte 24: zeros"),
        (section() + interface() + struct.pack("<III", 6, 0, 0) + bytes(20), "damaged at byte 52"),
        (section() + interface() + enhanced(1, b"abc", 3)[:-4] + b"\1\2\3\4", "damaged at byte 52"),
        (section() + interface(offset_s=1 << 62) + enhanced(1, b"abc", 3), "damaged at byte 28: an interface whose"),
        (section() + interface(resolution=0) + enhanced(1 << 40, b"abc", 3), "a time stamp beyond the year 2116"),
        (section() + enhanced(1, b"abc", 3), "interface 0, which is not described"),
        (section()[:8] + bytes(20), "without byte order"),
    ],
)
def test_what_cannot_be_read_is_said(path: Path, content: bytes, words: str) -> None:
    path.write_bytes(content)
    with pytest.raises(CaptureError, match=f"{path} cannot be read: .*{words}"):
        read(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="No such file"):
        read(tmp_path / "none")
