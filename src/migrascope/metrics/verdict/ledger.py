"""The ledger: what its collector outside received, against what the volume holds afterwards."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from migrascope.metrics.verdict.spans import Times, ranges
from migrascope.model.verdict import Statement
from migrascope.model.witness import RECORD_BYTES, Record, parse_record

COPIES, VOLUME = "ledger, collector", "ledger, volume"


class Arrival(NamedTuple):
    """A record as the collector received it, and the receipt that it gave."""

    recv_ns: int
    number: int
    boot: str
    receipt: int
    given: int

    @property
    def record(self) -> Record:
        return self.number, self.boot, self.receipt


def collected(arrivals: Sequence[Arrival], times: Times) -> Statement:
    """Whether one guest alone reported: the same number with other content, a receipt that was given for no record of
    that number, or a number that goes back, come from a second copy. A record that comes once more as it was, however
    late, is one that the network held back. arrivals: in the order in which they came."""
    contents: dict[tuple[int, str], set[int]] = defaultdict(set)
    given: dict[tuple[int, str], set[int]] = defaultdict(set)
    highest: dict[str, int] = {}
    odd: list[tuple[int, str]] = []
    for arrival in arrivals:
        key = (arrival.number, arrival.boot)
        before = (arrival.number - 1, arrival.boot)
        if contents[key] - {arrival.receipt}:
            odd.append((arrival.recv_ns, f"record {arrival.number} came with two contents"))
        elif arrival.receipt and before in given and arrival.receipt not in given[before]:
            odd.append((arrival.recv_ns, f"record {arrival.number} holds a receipt that record {before[0]} never had"))
        elif arrival.number < highest.get(arrival.boot, 0) - 1 and arrival.receipt not in contents[key]:
            odd.append((arrival.recv_ns, f"record {arrival.number} came after record {highest[arrival.boot]}"))
        contents[key].add(arrival.receipt)
        given[key].add(arrival.given)
        highest[arrival.boot] = max(arrival.number, highest.get(arrival.boot, 0))
    if odd:
        span = odd[0][0], odd[-1][0]
        words = f"{odd[0][1]}, {times.said(span[0])}" + (f"; {len(odd)} such" if len(odd) > 1 else "")
        return times.statement(COPIES, "two copies", words, span)
    if not arrivals:
        return Statement(COPIES, "unknown", "no record of the ledger came")
    if reason := times.unheard(arrival.recv_ns for arrival in arrivals):
        return Statement(COPIES, "unknown", f"{len(arrivals)} records came; {reason}")
    return Statement(COPIES, "intact", f"{len({a.number for a in arrivals})} records came, each as one guest writes it")


def kept(arrivals: Sequence[Arrival], content: bytes | None) -> Statement:
    """Whether every record that the collector received is on the volume once, in order, whole.

    content: the ledger's file, None when the volume was not read. Records after the last that was received are no
    fault, whole or torn: nobody was told of them.
    """
    if content is None:
        return Statement(VOLUME, "unknown", "the ledger was not read from the volume")
    if not arrivals:
        return Statement(VOLUME, "unknown", "no record of the ledger came, to look for on the volume")
    slots = [content[at : at + RECORD_BYTES] for at in range(0, len(content.rstrip(b"\0")), RECORD_BYTES)]
    records = [parse_record(slot) for slot in slots]
    there = [record for record in records if record is not None]
    wanted = {arrival.record for arrival in arrivals}
    numbers = {arrival.number for arrival in arrivals}
    found = Counter(record[0] for record in there)
    lost = numbers - {record[0] for record in there if record in wanted}
    twice = {number for number, count in found.items() if count > 1}
    disorder = {b[0] for a, b in pairwise(there) if b[0] < a[0]} - twice
    acknowledged = max((at for at, record in enumerate(records) if record in wanted), default=0)
    torn = sum(record is None for record in records[:acknowledged])
    faults = [
        f"{len(lost)} acknowledged records are not on the volume: {ranges(lost)}" if lost else "",
        f"records are there twice: {ranges(twice)}" if twice else "",
        f"records are out of order: {ranges(disorder)}" if disorder else "",
        f"{torn} records are not whole" if torn else "",
    ]
    if any(faults):
        return Statement(VOLUME, "data lost", "; ".join(fault for fault in faults if fault))
    return Statement(VOLUME, "intact", f"all {len(numbers)} acknowledged records are there once, in order, whole")
