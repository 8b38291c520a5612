"""Probers that stop for a while when they are told to."""

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from migrascope.model.manners import MOST_DOUBLED_S, PAUSE_S
from migrascope.probe.paced import PROHIBITED, Heed, Stream
from migrascope.probe.stamped import is_prohibition
from migrascope.store.spool import Spool, read

S = 10**9


class Silent:
    """A prober that sends nothing."""

    def request(self, seq: int) -> bytes:
        return seq.to_bytes(8, "big")

    def send(self, packet: bytes) -> int:
        return 0

    def receive(self, most: int) -> list[tuple[int, ...]]:
        return []


@pytest.fixture
def spools(tmp_path: Path) -> Iterator[list[Spool]]:
    tables = ("echo_sent", "echo_reply", "back_off")
    spools = [Spool(tmp_path, table, source="a", host="client") for table in tables]
    yield spools
    for spool in spools:
        spool.close()


def test_a_pause_leaves_out_what_is_due_in_it_and_no_number(spools: list[Spool]) -> None:
    sent, replies, pauses = spools
    heed = Heed(lambda: False, pauses)
    stream = Stream(Silent(), 10, sent, replies, heed=heed)
    before = stream.due(0, 2 * S)
    heed.until_ns = 5 * S
    during, after = stream.due(0, 4 * S), stream.due(0, 6 * S)
    assert [due for due, *_ in before] == [at * S // 10 for at in range(20)]
    assert during == []
    assert [due for due, *_ in after] == [at * S // 10 for at in range(50, 60)]
    assert [seq for _, seq, _, _ in [*before, *after]] == list(range(30))


def test_a_pause_that_begins_at_once_is_the_first_of_those_that_double(spools: list[Spool], tmp_path: Path) -> None:
    heed = Heed(lambda: True, spools[2])
    heed.pause(7)
    heed.look(7, replied=False)
    heed.look(heed.until_ns, replied=False)
    spools[2].close()
    assert read(tmp_path / "back_off@a.jsonl")[1] == [[7, 7 + 10 * S, PROHIBITED], [7 + 10 * S, 7 + 30 * S, PROHIBITED]]


def test_pauses_double_while_the_answer_is_the_same(spools: list[Spool], tmp_path: Path) -> None:
    told = True
    heed = Heed(lambda: told, spools[2])
    now, lengths = 0, []
    for _ in range(9):
        heed.look(now, replied=False)
        lengths.append((heed.until_ns - now) / S)
        heed.look(now + 1, replied=False)
        assert heed.until_ns == now + lengths[-1] * S, "one that is told again in its pause does not prolong it"
        now = heed.until_ns
    assert lengths == [min(MOST_DOUBLED_S, PAUSE_S * 2**at) for at in range(9)]
    told = False
    heed.look(now, replied=True)
    assert heed.until_ns == now
    told = True
    heed.look(now, replied=False)
    assert heed.until_ns - now == PAUSE_S * S, "a reply begins anew"
    spools[2].close()
    rows = read(tmp_path / "back_off@a.jsonl")[1]
    assert len(rows) == 10
    assert rows[0] == [0, 10 * S, PROHIBITED]


@pytest.mark.parametrize(
    ("origin", "kind", "code", "prohibits"),
    [
        (2, 3, 13, True),  # ICMP: communication administratively prohibited
        (2, 3, 9, True),
        (2, 3, 10, True),
        (2, 3, 1, False),  # host unreachable
        (2, 11, 13, False),  # time exceeded
        (3, 1, 1, True),  # ICMPv6: administratively prohibited
        (3, 1, 3, False),  # address unreachable
        (1, 3, 13, False),  # of this machine itself
    ],
)
def test_an_error_says_whether_it_prohibits(origin: int, kind: int, code: int, prohibits: bool) -> None:
    error = struct.pack("@IBBBBII", 113, origin, kind, code, 0, 0, 0) + bytes(16)  # and the sender's address
    assert is_prohibition(error) == prohibits
