"""The ledger from the guest's file to the collector's table, over real sockets."""

import asyncio
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import Running, program, rows, until

from migrascope.guest import ledger
from migrascope.guest.ledger import AHEAD_BYTES, Book, opened, report
from migrascope.guest.workers import Status
from migrascope.model.witness import RECORD_BYTES, chained, parse_record, record_line
from migrascope.probe import collector

BOOT = "0123456789abcdef0123456789abcdef"


@given(st.integers(0, 10**12 - 1), st.integers(0, 2**32 - 1))
def test_a_record_is_read_back(number: int, receipt: int) -> None:
    line = record_line(number, BOOT, receipt)
    assert len(line) == RECORD_BYTES
    assert parse_record(line) == (number, BOOT, receipt)


@given(st.integers(0, RECORD_BYTES - 1), st.integers(1, 255))
def test_a_changed_byte_is_seen(at: int, by: int) -> None:
    line = bytearray(record_line(77, BOOT, 5))
    line[at] ^= by
    assert parse_record(bytes(line)) is None


@given(st.binary(max_size=2 * RECORD_BYTES))
def test_what_is_no_record_is_none(data: bytes) -> None:
    assert parse_record(data) is None


def test_the_chain_depends_on_every_id_in_its_order() -> None:
    text = chained(chained("00000000", "1"), "2")
    assert text != chained(chained("00000000", "2"), "1")
    assert len(text) == 8


def test_a_book_goes_on_where_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    book = Book(str(path), BOOT)
    lines = [book.append(receipt) for receipt in (0, 1, 2)]
    assert path.stat().st_size == AHEAD_BYTES
    again = Book(str(path), BOOT)
    assert again.number == 3
    lines.append(again.append(9))
    assert path.read_bytes().startswith(b"".join(lines) + bytes(RECORD_BYTES))
    assert parse_record(lines[3]) == (4, BOOT, 9)


def test_a_full_book_is_laid_out_further(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    path.write_bytes(b"".join(record_line(number + 1, BOOT, 0) for number in range(AHEAD_BYTES // RECORD_BYTES)))
    book = Book(str(path), BOOT)
    book.append(0)
    assert path.stat().st_size == 2 * AHEAD_BYTES


@pytest.fixture
def port() -> int:
    """A UDP port that was free just now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        found: int = sock.getsockname()[1]
        return found


async def test_a_record_has_its_receipt_and_is_recorded_before(tmp_path: Path, port: int) -> None:
    book = Book(str(tmp_path / "ledger"), BOOT)
    with opened("127.0.0.1", port) as stream:
        first = asyncio.ensure_future(asyncio.to_thread(report, stream, book.append(0)))
        await asyncio.sleep(0)  # nobody listens yet: it is sent again
        async with Running(collector.main, program(tmp_path, address="127.0.0.1", port=port)):
            receipt = await asyncio.wait_for(first, 5)
            stream.setblocking(False)
            stream.send(b"nonsense")
            stream.setblocking(True)
            second = await asyncio.to_thread(report, stream, book.append(receipt))
            await until(lambda: len(rows(tmp_path, "ledger")) >= 2)
    recorded = rows(tmp_path, "ledger")
    assert {row["number"] for row in recorded} == {1, 2}
    assert [row["given"] for row in recorded] == list(range(1, len(recorded) + 1))
    assert receipt in [row["given"] for row in recorded if row["number"] == 1]
    assert second in [row["given"] for row in recorded if row["number"] == 2]
    assert {row["receipt"] for row in recorded if row["number"] == 2} == {receipt}


class Enough(Exception):
    """Ends a writer that would go on for ever."""


class FiftyRecords(Status):
    """A status that has seen enough after fifty records."""

    def write(self, state: str, done: int = 0, operations: int = 0, reason: str = "") -> None:
        if operations == 50:
            raise Enough


async def test_a_writer_that_is_late_has_its_turn_at_once(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock moves on between any two looks at it."""
    monkeypatch.setattr(ledger, "PATH", str(tmp_path / "ledger"))
    monkeypatch.setattr(ledger, "SAID_S", 0.0)
    options = {"to": f"127.0.0.1:{port}", "rate": "1000000"}
    async with Running(collector.main, program(tmp_path, address="127.0.0.1", port=port)):
        with pytest.raises(Enough):
            await asyncio.to_thread(ledger.run, FiftyRecords(str(tmp_path / "status")), options)
    assert [row["number"] for row in rows(tmp_path, "ledger")] == list(range(1, 51))
