"""Spools: what a probe wrote is there after its death, and can be followed while it grows."""

from pathlib import Path

import pytest

from migrascope.model.tables import TABLES
from migrascope.store import spool
from migrascope.store.spool import Follower, PartFollower, Spool, part_of

ROWS = [(1, 10, 11), (2, 20, 22), (3, 30, 33)]


def spooled(folder: Path, flush_s: float = 0.0) -> Spool:
    return Spool(folder, "echo_sent", source="echo", host="client", instance="i", migration="m", flush_s=flush_s)


def test_rows_come_back_with_their_header(tmp_path: Path) -> None:
    with spooled(tmp_path, 3600) as table:
        table.add_all(ROWS)
    header, rows = spool.read(table.path)
    assert [tuple(row) for row in rows] == ROWS
    assert header["columns"] == list(TABLES["echo_sent"].columns)
    assert {header[key] for key in ("source", "host", "instance", "migration")} == {"echo", "client", "i", "m"}
    assert list(spool.spools(tmp_path)) == [table.path]


def test_a_torn_end_costs_no_more_than_its_line(tmp_path: Path) -> None:
    """Wherever it is torn."""
    with spooled(tmp_path) as table:
        for row in ROWS:
            table.add(*row)
    whole = table.path.read_bytes()
    for size in range(len(whole) + 1):
        table.path.write_bytes(whole[:size])
        left = whole[:size].count(b"\n")
        if left == 0:
            with pytest.raises(ValueError, match="died before it began"):
                spool.read(table.path)
        else:
            assert [tuple(row) for row in spool.read(table.path)[1]] == ROWS[: left - 1]


def test_a_follower_gets_each_row_once(tmp_path: Path) -> None:
    follower = Follower(tmp_path / "echo_sent@echo.jsonl")
    assert list(follower.rows()) == []
    with spooled(tmp_path) as table:
        assert list(follower.rows()) == []
        table.add(*ROWS[0])
        assert list(follower.rows()) == [list(ROWS[0])]
        with table.path.open("ab") as torn:
            torn.write(b"[2, 20")
        assert list(follower.rows()) == []
        with table.path.open("ab") as torn:
            torn.write(b", 22]\n")
        assert list(follower.rows()) == [list(ROWS[1])]
        assert list(follower.rows()) == []


def test_rows_wait_for_the_flush_and_closing_writes_the_rest(tmp_path: Path) -> None:
    with spooled(tmp_path, 3600) as table:
        table.add(*ROWS[0])
        assert table.path.read_bytes().count(b"\n") == 1
    assert table.path.read_bytes().count(b"\n") == 2


def test_an_unknown_table_or_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "echo_sent@echo.jsonl"
    path.write_text('{"table": "echo_sent", "schema": 99}\n')
    with pytest.raises(ValueError, match="schema 99 is not known"):
        spool.read(path)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_table_stamps_in_ns_and_says_what_a_row_is(table: object) -> None:
    assert isinstance(table, type(TABLES["clock"]))
    assert table.row
    assert all(kind == "int" for column, kind in table.columns.items() if column.endswith("_ns"))


def test_parts_are_read_in_their_order_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "echo_sent@echo-1.0.0.1.jsonl"
    follower = PartFollower(path)
    assert list(follower.rows()) == []
    with Spool(tmp_path, "echo_sent", source="echo-1.0.0.1", host="client", flush_s=0.0, part_s=0.0) as table:
        table.add(*ROWS[0])
        table.add(*ROWS[1])
        assert list(follower.rows()) == [list(row) for row in ROWS[:2]]
        table.add(*ROWS[2])
        assert list(follower.rows()) == [list(ROWS[2])]
        assert list(spool.spools(tmp_path)) == [table.path] == [part_of(path, 4)]
    assert spool.read(table.path)[0]["source"] == "echo-1.0.0.1"
