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
    """Whether one guest alone reported: the same number with other content, or a receipt that was given for another
    record, come from a second copy. A record that comes once more as it was, however late, is one that the network held
    back. Where rows contradict each other and not the guest, nothing is known. arrivals: in the order in which they
    came."""
    odd = _copied(arrivals)
    if odd:
        span = odd[0][0], odd[-1][0]
        words = f"{odd[0][1]}, {times.said(span[0])}" + (f"; {len(odd)} such" if len(odd) > 1 else "")
        return times.statement(COPIES, "two copies", words, span)
    first = {arrival.boot: arrival.recv_ns for arrival in reversed(arrivals)}
    if len(first) > 1:
        later = max(first.values())
        words = f"the guest restarted: records of {len(first)} boots, {times.said(later)}"
        return times.statement(COPIES, "guest lost", words, (later, later))
    if not arrivals:
        return Statement(COPIES, "unknown", "no record of the ledger came")
    if reason := _doubted(arrivals) or times.unheard(arrival.recv_ns for arrival in arrivals):
        return Statement(COPIES, "unknown", f"{len(arrivals)} records came; {reason}")
    return Statement(COPIES, "intact", f"{len({a.number for a in arrivals})} records came, each as one guest writes it")


def _copied(arrivals: Sequence[Arrival]) -> list[tuple[int, str]]:
    """When records came that a single guest cannot have written, and what they were."""
    given_for: dict[int, set[int]] = defaultdict(set)
    for arrival in arrivals:
        given_for[arrival.given].add(arrival.number)
    contents: dict[tuple[int, str], set[int]] = defaultdict(set)
    ended: dict[str, int] = {}
    odd: list[tuple[int, str]] = []
    for before, arrival in zip([None, *arrivals], arrivals, strict=False):
        number, receipt = arrival.number, arrival.receipt
        if before is not None and before.boot != arrival.boot:
            ended[before.boot] = before.number
        if contents[number, arrival.boot] - {receipt}:
            odd.append((arrival.recv_ns, f"record {number} came with two contents"))
        elif receipt and receipt in given_for and number - 1 not in given_for[receipt]:
            odd.append((arrival.recv_ns, f"record {number} holds a receipt that record {number - 1} never had"))
        elif number > ended.get(arrival.boot, number):
            odd.append((arrival.recv_ns, f"record {number} of a boot came after records of another"))
        contents[number, arrival.boot].add(receipt)
    return odd


def _doubted(arrivals: Sequence[Arrival]) -> str | None:
    """Why what the collector recorded cannot all be true, or None."""
    if any(b.recv_ns < a.recv_ns for a, b in pairwise(arrivals)):
        return "their stamps go back"
    given: dict[int, set[int]] = defaultdict(set)
    receivers: dict[int, set[Record]] = defaultdict(set)
    for arrival in arrivals:
        given[arrival.number].add(arrival.given)
        receivers[arrival.given].add(arrival.record)
    if any(len(records) > 1 for records in receivers.values()):
        return "one receipt was given to two records"
    highest, come = 0, set[int]()
    for arrival in arrivals:
        number, earlier = arrival.number, given.get(arrival.number - 1)
        if number < highest and number not in come:
            return f"record {number} came after record {highest}"
        if arrival.receipt and earlier and arrival.receipt not in earlier:
            return f"record {number} holds a receipt that was not recorded"
        come.add(number)
        highest = max(number, highest)
    return None


def kept(arrivals: Sequence[Arrival], content: bytes | None) -> Statement:
    """Whether every record that the collector received is on the volume once, in order, whole.

    content: the ledger's file, None when the volume was not read. Records after the last that was received are no
    fault, whole or torn: nobody was told of them. One that could only be written after a receipt that nobody gave is
    no single guest's, or the collector's list is not whole.
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
    given = {arrival.given for arrival in arrivals}
    strange = {record[0] for record in records[acknowledged + 1 :] if record and record[2] not in given}
    if strange:
        words = f"records hold receipts that were not recorded: {ranges(strange)}"
        return Statement(VOLUME, "unknown", words)
    return Statement(VOLUME, "intact", f"all {len(numbers)} acknowledged records are there once, in order, whole")
