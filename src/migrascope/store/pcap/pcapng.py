"""The pcapng format (draft-ietf-opsawg-pcapng): sections of blocks, each with its type and its length at both ends."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from migrascope.store.pcap.chain import SHORT, follow
from migrascope.store.pcap.damage import MOST_BYTES, Damaged
from migrascope.store.pcap.frames import INWARD, OUTWARD, Bytes, Frames, Ints, column, pieces, words

SECTION, INTERFACE, OLD_PACKET, SIMPLE, PACKET = 0x0A0D0D0A, 1, 2, 3, 6
MAGIC = SECTION.to_bytes(4, "little")
_BYTE_ORDER = 0x1A2B3C4D
_FIXED = 28
_END, _NAME, _TSRESOL, _TSOFFSET, _FLAGS = 0, 2, 9, 14, 2
_OPTION = 8
LATEST_NS = 1 << 62
_MOST_STRETCH, _LEAST_STRETCH = 1 << 40, 1 << 12
Words = NDArray[np.uint32]
Stamps = NDArray[np.uint64]


@dataclass(frozen=True)
class Interface:
    """What stamps and frames of one interface are: link type, units per second, seconds to add, and its number among
    the ports of the whole file."""

    link: int
    units: int
    offset_s: int
    port: int

    @property
    def most(self) -> int:
        """The greatest stamp that is one: later ones are beyond the year 2116."""
        return min((1 << 64) - 1, (LATEST_NS - self.offset_s * 10**9) * self.units // 10**9)

    def time_ns(self, stamp: Stamps) -> Ints:
        """ns since 1970 of stamps in the interface's units."""
        if 10**9 % self.units == 0:
            time = stamp.astype(np.int64) * (10**9 // self.units)
        elif self.units > 1 << 63:
            time = (stamp * (10**9 / self.units)).astype(np.int64)
        elif self.units % 10**9 == 0:
            time = (stamp // np.uint64(self.units // 10**9)).astype(np.int64)
        else:
            seconds, rest = np.divmod(stamp, np.uint64(self.units))
            time = seconds.astype(np.int64) * 10**9 + (rest * (10**9 / self.units)).astype(np.int64)
        return time + self.offset_s * 10**9 if self.offset_s else time


@dataclass
class Pcapng:
    """The state of one file: the byte order and the interfaces of the section that is being read. skipped: blocks that
    hold no packet; untimed, untimed_bytes: packets without a time stamp (simple packet blocks) and their lengths on the
    wire; damage: where there is no further block; port_names: interfaces of the same place and name in two sections are
    one port."""

    order: str = "<"
    interfaces: list[Interface] = field(default_factory=list)
    skipped: int = 0
    untimed: int = 0
    untimed_bytes: int = 0
    damage: Damaged | None = None
    port_names: list[str] = field(default_factory=list)
    _described: list[int] = field(default_factory=list)
    _stretch: int = _MOST_STRETCH
    _short: bool = True

    def frames(self, data: bytearray, filled: int, position: int) -> tuple[Frames, int]:
        """(the frames of the whole blocks at the beginning of the first `filled` bytes, where the rest begins).
        position: where data begins in the file. They end where there is no block."""
        buffer: Bytes = np.frombuffer(data, dtype=np.uint8)
        found = []
        rest = 0
        for starts, heads in self._sections(data, buffer, filled, position):
            found.append(self._packets(data, buffer, starts, heads, position))
            rest = int(starts[-1]) + int(heads[-1, 1])
        return _joined(buffer, found, self.port_names), rest if self.damage is None else self.damage.position - position

    def lacks(self, left: bytes) -> int | None:
        """How many bytes are missing of the block that begins so; None where its length is not there."""
        if len(left) < 12:
            return None
        return int(struct.unpack_from(self.order + "I", left, 4)[0]) - len(left)

    def _damaged(self, position: int, what: str) -> None:
        if self.damage is None or position < self.damage.position:
            self.damage = Damaged(position, what)

    def _sections(self, data: bytearray, buffer: Bytes, filled: int, position: int) -> Iterator[tuple[Ints, Words]]:
        """(places, first seven words) of whole blocks, the part of one section at a time."""
        at = 0
        while at + 12 <= filled and self.damage is None:
            if data[at : at + 4] == MAGIC and not self._begin_section(data, at, position):
                return
            # a section of the other byte order ends what can be read at once
            starts = self._walk(data, at, min(filled, at + self._stretch))
            heads = words(pieces(buffer, starts, _FIXED), self.order)
            sections = np.flatnonzero(heads[:, 0] == SECTION)
            orders = words(pieces(buffer, starts[sections] + 8, 4), self.order)[:, 0]
            foreign = sections[(orders != _BYTE_ORDER) & (sections > 0)]
            self._stretch = _LEAST_STRETCH if len(foreign) else min(2 * self._stretch, _MOST_STRETCH)
            if len(foreign):
                starts, heads = starts[: foreign[0]], heads[: foreign[0]]
            lengths = heads[:, 1].astype(np.int64)
            bad = _first_bad(buffer, starts, lengths, filled, self.order)
            if bad is not None:
                self._damaged(position + int(starts[bad]), f"a block whose length cannot be ({lengths[bad]})")
                starts, heads, lengths = starts[:bad], heads[:bad], lengths[:bad]
            elif len(starts) and starts[-1] + lengths[-1] > filled:
                starts, heads, lengths = starts[:-1], heads[:-1], lengths[:-1]
                filled = 0
            if not len(starts):
                return
            begins = np.flatnonzero(heads[:, 0] == SECTION)
            for part in np.split(np.arange(len(starts)), begins[begins > 0]):
                if self.damage is not None and position + starts[part[0]] >= self.damage.position:
                    return
                if heads[part[0], 0] == SECTION:
                    self.interfaces, self._described = [], []
                yield starts[part], heads[part]
            at = int(starts[-1] + lengths[-1])

    def _begin_section(self, data: bytearray, at: int, position: int) -> bool:
        """Whether its byte order is one."""
        for order in "<>":
            if struct.unpack_from(order + "I", data, at + 8)[0] == _BYTE_ORDER:
                self.order = order
                return True
        self._damaged(position + at, "a section without byte order")
        return False

    def _walk(self, data: bytearray, at: int, filled: int) -> Ints:
        """Places of the blocks from `at` on, as their lengths say; the last one may be cut."""
        usable = filled - (filled - at) % 4
        numbers = np.frombuffer(data, dtype=f"{self.order}u4", count=(usable - at) // 4, offset=at)
        if self.order == ">":
            numbers = numbers.astype(np.uint32)
        places = _walk_by_guess(numbers) if self._short else _walk_by_step(numbers)
        if len(places) > 1:
            self._short = places[-1] <= SHORT // 4 * len(places)
        return at + 4 * places[places + 2 <= len(numbers)]

    def _packets(self, data: bytearray, buffer: Bytes, starts: Ints, numbers: Words, position: int) -> Frames:
        kinds, lengths = numbers[:, 0], numbers[:, 1].astype(np.int64)
        packet = kinds == PACKET
        alone = bool(packet.all())
        if not alone:
            for place, kind, length in zip(
                starts[~packet].tolist(), kinds[~packet].tolist(), lengths[~packet].tolist(), strict=True
            ):
                self._other(data, place, kind, length, position)
            packet |= kinds == OLD_PACKET
            starts, lengths, numbers, kinds = starts[packet], lengths[packet], numbers[packet], kinds[packet]
        number = numbers[:, 2].astype(np.int64)
        old = kinds == OLD_PACKET
        if old.any():
            number = np.where(old, number >> 16 if self.order == ">" else number & 0xFFFF, number)
        stamp = (numbers[:, 3].astype(np.uint64) << np.uint64(32)) | numbers[:, 4].astype(np.uint64)
        captured, wire = numbers[:, 5].astype(np.int64), numbers[:, 6].astype(np.int64)
        described = len(self.interfaces) if alone else np.searchsorted(self._described, position + starts)
        long, unknown = captured > lengths - _FIXED - 4, number >= described
        if long.any() or unknown.any():
            bad = int(np.argmax(long | unknown))
            self._damaged(
                position + int(starts[bad]),
                "a packet longer than its block"
                if long[bad]
                else f"a packet of interface {number[bad]}, which is not described",
            )
        if self.damage is not None:
            kept = int(np.searchsorted(position + starts, self.damage.position))
            stamp = stamp[:kept]
            starts, lengths, number, captured, wire = (
                values[:kept] for values in (starts, lengths, number, captured, wire)
            )
        time, link, bad_stamp = self._stamps(number, stamp)
        if bad_stamp is not None:
            self._damaged(position + int(starts[bad_stamp]), "a time stamp beyond the year 2116")
            starts, lengths, number, captured, wire, time, link = (
                values[:bad_stamp] for values in (starts, lengths, number, captured, wire, time, link)
            )
        at = starts + _FIXED
        direction = self._direction(buffer, at, captured, starts + lengths)
        port = None
        if len(self.port_names) > 1:
            port = np.array([interface.port for interface in self.interfaces], dtype=np.int64)[number]
        return Frames(buffer, at, captured, wire, time, link, direction, port, self.port_names)

    def _stamps(self, number: Ints, stamp: Stamps) -> tuple[Ints, Ints, int | None]:
        """(ns since 1970, link types, the first row whose stamp cannot be)."""
        if len(self.interfaces) == 1:
            parts: list[tuple[int, Ints | slice]] = [(0, slice(None))]
        else:
            order = np.argsort(number, kind="stable")
            starts = np.flatnonzero(np.diff(number[order], prepend=-1))
            parts = [(int(number[rows[0]]), rows) for rows in np.split(order, starts[1:]) if len(rows)]
        time, link = np.zeros(len(number), dtype=np.int64), np.zeros_like(number)
        beyond = np.zeros(len(number), dtype=np.bool_)
        for which, rows in parts:
            interface = self.interfaces[which]
            beyond[rows] = stamp[rows] > np.uint64(interface.most)
            time[rows] = interface.time_ns(np.minimum(stamp[rows], np.uint64(interface.most)))
            link[rows] = interface.link
        return time, link, int(np.argmax(beyond)) if beyond.any() else None

    def _direction(self, buffer: Bytes, at: Ints, captured: Ints, ends: Ints) -> Bytes:
        """From epb_flags, where it is the first option."""
        option = at + (captured + 3) // 4 * 4
        there = ends - option >= _OPTION + 4
        found = np.zeros(len(at), dtype=np.uint8)
        if not there.any():
            return found
        block = pieces(buffer, option[there], _OPTION)
        flags = (column(block, 0, 2, self.order) == _FLAGS) & (column(block, 2, 2, self.order) == 4)
        way = column(block, 4, 4, self.order) & 3
        found[there] = np.where(flags & ((way == INWARD) | (way == OUTWARD)), way, 0)
        return found

    def _other(self, data: bytearray, place: int, kind: int, length: int, position: int) -> None:
        if kind == INTERFACE:
            interface = self._interface(data, place, length)
            if abs(interface.offset_s) > LATEST_NS // 10**9:
                self._damaged(position + place, f"an interface whose stamps are {interface.offset_s} s off")
                interface = replace(interface, offset_s=0)
            self.interfaces.append(interface)
            self._described.append(position + place)
        elif kind == SIMPLE:
            if self.damage is None:
                self.untimed += 1
                self.untimed_bytes += int(struct.unpack_from(self.order + "I", data, place + 8)[0])
        elif kind not in (SECTION, OLD_PACKET):
            self.skipped += 1

    def _interface(self, data: bytearray, place: int, length: int) -> Interface:
        link = struct.unpack_from(self.order + "H", data, place + 8)[0]
        units, offset_s, name = 10**6, 0, f"interface {len(self.interfaces)}"
        for code, value in self._options(data, place + 16, place + length - 4):
            if code == _TSRESOL and value:
                units = 1 << (value[0] & 0x7F) if value[0] & 0x80 else 10 ** value[0]
            elif code == _TSOFFSET and len(value) == 8:
                offset_s = struct.unpack(self.order + "q", value)[0]
            elif code == _NAME and value:
                name += f" ({value.decode(errors='replace')})"
        if name not in self.port_names:
            self.port_names.append(name)
        return Interface(link, units, offset_s, self.port_names.index(name))

    def _options(self, data: bytearray, at: int, end: int) -> Iterator[tuple[int, bytes]]:
        while at + 4 <= end:
            code, length = struct.unpack_from(self.order + "HH", data, at)
            if code == _END or at + 4 + length > end:
                return
            yield code, bytes(data[at + 4 : at + 4 + length])
            at += 4 + (length + 3) // 4 * 4


def _walk_by_step(numbers: NDArray[np.uint32], word: int = 0) -> Ints:
    """Where the blocks begin, in words, from one to the next."""
    places: list[int] = []
    add, lengths = places.append, numbers.data
    try:
        for _ in range(len(numbers) // 3 + 1):
            add(word)
            word += lengths[word + 1] >> 2
    except IndexError:
        pass
    return np.array(places, dtype=np.int64)


def _walk_by_guess(numbers: NDArray[np.uint32]) -> Ints:
    """The same, by guessing every word that may begin a packet block."""
    guesses = np.flatnonzero(numbers == PACKET)[:-1]
    length = numbers[np.minimum(guesses + 1, len(numbers) - 1)].astype(np.int64)
    after = guesses + length // 4
    good = (length >= _FIXED + 4) & (after <= len(numbers))
    guesses, length, after = guesses[good], length[good], after[good]
    good = numbers[after - 1] == length
    guesses, after = guesses[good], after[good]

    def step(place: int) -> int:
        words_on = int(numbers[place + 1]) >> 2
        return place + words_on if words_on >= 3 else place

    return follow(guesses, after, len(numbers) - 1, step)


def _first_bad(buffer: Bytes, starts: Ints, lengths: Ints, filled: int, order: str) -> int | None:
    """The first block whose length cannot be, or stands differently at its end."""
    bad = (lengths < 12) | (lengths % 4 != 0) | (lengths > MOST_BYTES)
    whole = ~bad & (starts + lengths <= filled)
    numbers = buffer[: len(buffer) & ~3].view(f"{order}u4")
    bad |= whole & (numbers[np.where(whole, starts + lengths - 4, 0) >> 2] != lengths)
    return int(np.argmax(bad)) if bad.any() else None


def _joined(buffer: Bytes, found: list[Frames], port_names: list[str]) -> Frames:
    if len(found) == 1:
        return found[0]
    names = ("at", "captured", "wire", "time_ns", "link")
    at, captured, wire, time, link = (
        np.concatenate([np.zeros(0, dtype=np.int64), *(getattr(frames, name) for frames in found)]) for name in names
    )
    direction = np.concatenate([np.zeros(0, dtype=np.uint8), *(frames.direction for frames in found)])
    port = None
    if len(port_names) > 1:
        parts = [np.zeros(len(frames), dtype=np.int64) if frames.port is None else frames.port for frames in found]
        port = np.concatenate([np.zeros(0, dtype=np.int64), *parts])
    return Frames(buffer, at, captured, wire, time, link, direction, port, port_names)
