"""ICMP's "destination unreachable" (RFC 792, 1812, 4443): which packet each is about, and why it did not arrive."""

from dataclasses import dataclass

import numpy as np

from migrascope.store.pcap.frames import Ints, column, pieces, words
from migrascope.store.pcap.layers import ICMP, ICMP6, TCP, UDP, Headers, hashed_ends, is_echo
from migrascope.store.pcap.links import Hashes

_TYPE, _TYPE6 = 3, 1
_HEADER = 8
_SAID = 8
"""So many bytes of the other packet's transport header stand in every message."""
_NO_REFUSAL = 4
"""Fragmentation needed: what is sent in smaller parts arrives."""
_PROHIBITED = "administratively prohibited"
_REASONS = {
    0: "network unreachable", 1: "host unreachable", 2: "protocol unreachable", 3: "port unreachable",
    5: "source route failed", 6: "network unknown", 7: "host unknown", 8: "host isolated", 9: _PROHIBITED,
    10: _PROHIBITED, 11: "network unreachable for its type of service", 12: "host unreachable for its type of service",
    13: _PROHIBITED, 14: "host precedence violation", 15: "precedence cut off",
}  # fmt: skip
_REASONS6 = {
    0: "no route", 1: _PROHIBITED, 2: "beyond the scope of its source", 3: "address unreachable",
    4: "port unreachable", 5: "source address failed the policy", 6: "route rejected",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Unreachable:
    """The messages in a batch. rows: where they are; source, target: a hash of each end of the packet that each is
    about, as in Headers; reasons: why it did not arrive."""

    rows: Ints
    source: Hashes
    target: Hashes
    reasons: tuple[str, ...]


def unreachable(headers: Headers) -> Unreachable | None:
    """None where there is none, as nearly always. Those about what is no TCP, UDP or ICMP echo are left out."""
    protocol = headers.protocol
    rows = np.flatnonzero((protocol == ICMP) | (protocol == ICMP6))
    if not len(rows):
        return None
    kind, code, six = headers.block[rows, 0], headers.block[rows, 1], protocol[rows] == ICMP6
    wanted = np.where(six, kind == _TYPE6, (kind == _TYPE) & (code != _NO_REFUSAL))
    rows, code, six = rows[wanted], code[wanted], six[wanted]
    if not len(rows):
        return None
    frames = headers.frames
    at, end = headers.transport[rows] + _HEADER, frames.at[rows] + frames.captured[rows]
    first = pieces(frames.data, at, 40)
    version = np.asarray(first[:, 0] >> 4, dtype=np.uint8)
    length = np.where(version == 6, 40, (first[:, 0] & 15).astype(np.int64) * 4)
    protocol = np.where(version == 6, first[:, 6], first[:, 9])
    block = pieces(frames.data, at + length, 20)
    whole = (version == np.where(six, 6, 4)) & (length >= 20) & (at + length + _SAID <= end)
    whole &= (version == 6) | (column(first, 6, 2) & 0x1FFF == 0)
    ports, echo = words(block)[:, 0].astype(np.int64), is_echo(protocol, block)
    whole &= (protocol == TCP) | (protocol == UDP) | echo
    ident = column(block, 4, 2)
    source, target = hashed_ends(
        first, version, protocol, np.where(echo, ident, ports >> 16), np.where(echo, ident, ports & 0xFFFF)
    )
    reasons = tuple(
        (_REASONS6 if is_six else _REASONS).get(number, f"code {number}")
        for number, is_six in zip(code[whole].tolist(), six[whole].tolist(), strict=True)
    )
    return Unreachable(rows[whole], source[whole], target[whole], reasons)
