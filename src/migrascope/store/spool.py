"""How a probe writes a table while the trial runs: a header line, then one JSON array for each row, append only.

A spool can be followed while it grows and read after a SIGKILL: a torn last line is dropped. It is sealed into Parquet
when the trial ends. This module imports nothing but the standard library, since every probe starts with it.
"""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from migrascope.model.clock import clock_pair
from migrascope.model.tables import TABLES, Table


class Spool:
    """An append-only table on its way. Rows reach the file at the latest `flush_s` after they were added, if flushed
    by `tick` or by further rows; `close` writes the rest.

    The file is DIRECTORY/TABLE@SOURCE.jsonl. part_s: seconds after which it goes on in another file, so that who
    follows it can remove what is read; the files are then DIRECTORY/TABLE@SOURCE.000001.jsonl and so on. None: one
    file. OSError when it cannot be written.
    """

    def __init__(
        self,
        directory: Path,
        table: str,
        *,
        source: str,
        host: str,
        instance: str = "",
        migration: str = "",
        flush_s: float = 0.05,
        part_s: float | None = None,
    ) -> None:
        self.table: Table = TABLES[table]
        self.path = directory / f"{table}@{source}.jsonl"
        self._header = {"source": source, "host": host, "instance": instance, "migration": migration}
        self._whole, self._part_s, self._part = self.path, part_s, 1
        if part_s is not None:
            self.path = part_of(self._whole, self._part)
        self._pending: list[str] = []
        kinds = self.table.columns.values()
        # a fifth of the time of json.dumps, which a probe at 500/s feels
        integers = "[" + ", ".join(["%d"] * len(kinds)) + "]"
        self._line: Callable[[tuple[Any, ...]], str] = integers.__mod__ if set(kinds) == {"int"} else json.dumps
        self._flush_s = flush_s
        self._begin()

    def _begin(self) -> None:
        """Opens the file, with its header."""
        self._file = self.path.open("w", encoding="utf-8")
        self._flushed = self._begun = time.monotonic()
        mono, wall = clock_pair()
        header = {
            "table": self.table.name, "schema": self.table.schema, "columns": list(self.table.columns), **self._header,
            "mono_ns": mono, "wall_ns": wall,
        }  # fmt: skip
        self._file.write(json.dumps(header) + "\n")
        self._file.flush()

    def add(self, *row: Any) -> None:
        """Appends one row, its values in the table's column order."""
        self._pending.append(self._line(row))
        self.tick()

    def add_all(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Appends rows, each in the table's column order."""
        self._pending += map(self._line, rows)
        self.tick()

    def tick(self) -> None:
        """Writes what is pending if it has waited long enough."""
        if self._pending and time.monotonic() - self._flushed >= self._flush_s:
            self.flush()

    def flush(self) -> None:
        if self._pending:
            self._file.write("\n".join(self._pending) + "\n")
            self._file.flush()
            self._pending.clear()
        self._flushed = time.monotonic()
        if self._part_s is not None and self._flushed - self._begun >= self._part_s:
            self._file.close()
            self._part += 1
            self.path = part_of(self._whole, self._part)
            self._begin()

    def close(self) -> None:
        self.flush()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Follower:
    """Reads a spool that another process still writes: each call gives the rows that came since the last. A spool that
    is not there, or no longer, has none. header: its first line, None until that was read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.header: dict[str, Any] | None = None
        self._offset = 0

    def rows(self) -> list[list[Any]]:
        try:
            if self.path.stat().st_size <= self._offset:
                return []
            with self.path.open("rb") as file:
                file.seek(self._offset)
                chunk = file.read()
        except FileNotFoundError:
            return []
        lines = chunk.split(b"\n")[:-1]
        self._offset += sum(map(len, lines)) + len(lines)
        if lines and self.header is None:
            self.header = json.loads(lines.pop(0))
        # all at once, in a tenth of the time of each by itself
        found: list[list[Any]] = json.loads(b"[" + b",".join(lines) + b"]")
        return found


class PartFollower:
    """Reads the parts of a spool that another process still writes, and removes each that is read to its end."""

    def __init__(self, path: Path) -> None:
        """path: of the spool, as if it were one file."""
        self._path, self._part = path, 0
        self._following = part_of(path, 1)
        self._go_on()

    def _go_on(self) -> None:
        self._part += 1
        self._follower, self._following = Follower(self._following), part_of(self._path, self._part + 1)

    def rows(self) -> list[list[Any]]:
        found = []
        while True:
            # Looked for before the rest is read, because the next part begins when this one is whole.
            whole = self._following.exists()
            found += self._follower.rows()
            if not whole:
                return found
            self._follower.path.unlink()
            self._go_on()


def part_of(path: Path, number: int) -> Path:
    """The file of a part of a spool. path: of the spool as if it were one file."""
    return path.with_suffix(f".{number:06d}.jsonl")


class NoHeader(ValueError):
    """A spool whose process died before it began."""


def read(path: Path) -> tuple[dict[str, Any], list[Sequence[Any]]]:
    """(header, rows) of a spool; a last line without its newline is dropped.

    NoHeader when there is no whole line, ValueError when the header is not ours.
    """
    lines = path.read_bytes().split(b"\n")[:-1]
    if not lines:
        raise NoHeader(f"{path}: the process died before it began")
    header: dict[str, Any] = json.loads(lines[0])
    table = TABLES.get(header.get("table", ""))
    if table is None or header["schema"] != table.schema:
        raise ValueError(f"{path}: table {header.get('table')!r} with schema {header.get('schema')!r} is not known")
    return header, json.loads(b"[" + b",".join(lines[1:]) + b"]")


def spools(directory: Path) -> Iterable[Path]:
    """All spools of a directory, in the order of their names."""
    return sorted(directory.glob("*@*.jsonl"))
