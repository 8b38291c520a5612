"""Follows one trial of a run while others write it: what is new since the last look, from its spools or its tables.

    follower = TrialFollower(run.path, 3, ("echo_sent", "echo_reply"))
    while not (news := follower.news()).sealed:
        ...

It only reads, and takes nothing from those who write: no lock, no rename. A trial may begin again in the same folder,
be sealed between two looks, or be given up by a run that was killed; each row is still given once.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from migrascope.model.events import Event
from migrascope.model.tables import TABLES
from migrascope.store.document import open_regular
from migrascope.store.runfolder import OPEN
from migrascope.store.spool import Follower, spools


@dataclass(frozen=True)
class Row:
    """One row of a table: its values in the table's column order, who wrote it, and of which host it tells."""

    source: str
    host: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class News:
    """What came since the last look. again: the trial has begun anew, and all that was given before is void. sealed: it
    is final, and this is the last there is. broken: files that cannot be read, with the reason."""

    events: tuple[Event, ...] = ()
    rows: dict[str, list[Row]] = field(default_factory=dict)
    again: bool = False
    sealed: bool = False
    broken: dict[str, str] = field(default_factory=dict)


class TrialFollower:
    """One trial of the run folder `run`, and the tables of it that are wanted."""

    def __init__(self, run: Path, number: int, tables: Collection[str]) -> None:
        if unknown := set(tables) - set(TABLES):
            raise ValueError(f"no tables: {', '.join(sorted(unknown))}")
        self.number = number
        self._sealed = run / "trials" / str(number)
        self._opened = self._sealed.with_name(f"{number}{OPEN}")
        self._tables = tuple(tables)
        self._begin()

    def _begin(self) -> None:
        self._followers: dict[str, Follower] = {}
        self._given: dict[tuple[str, str], int] = {}
        self._broken: dict[str, str] = {}
        self._events_given = 0
        self._first_event: bytes | None = None
        self._over = False

    def news(self) -> News:
        """Everything since the last look. After the one that was sealed there is none."""
        if self._over:
            return News(sealed=True)
        # which comes first: a trial that is sealed between these two looks is read from its tables the next time
        sealed = self._sealed.exists()
        folder = self._sealed if sealed else self._opened
        lines = self._lines(folder)
        again = self._anew(lines)
        events = self._events(lines)
        rows = self._from_tables() if sealed else self._from_spools()
        self._over = sealed
        return News(events, rows, again, sealed, dict(self._broken))

    def _lines(self, folder: Path) -> list[bytes]:
        """The events that are written whole."""
        try:
            with open_regular(folder / "events.ndjson") as file:
                return file.read().split(b"\n")[:-1]
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            if self._first_event is not None:
                self._broken["events.ndjson"] = str(error)
            return []

    def _anew(self, lines: list[bytes]) -> bool:
        """Whether another attempt at the trial lies in its folder: its first event is another."""
        if not lines or lines[0] == self._first_event:
            return False
        again = self._first_event is not None
        if again:
            self._begin()
        self._first_event = lines[0]
        return again

    def _events(self, lines: list[bytes]) -> tuple[Event, ...]:
        try:
            found = tuple(Event(**json.loads(line)) for line in lines[self._events_given :])
        except (ValueError, TypeError) as error:
            self._broken["events.ndjson"] = str(error)
            return ()
        self._events_given += len(found)
        return found

    def _from_spools(self) -> dict[str, list[Row]]:
        found: dict[str, list[Row]] = {}
        for path in spools(self._opened) if self._first_event is not None else ():
            table = path.name.partition("@")[0]
            if table not in self._tables or path.name in self._broken:
                continue
            follower = self._followers.setdefault(path.name, Follower(path))
            try:
                values = list(follower.rows())
            except (OSError, ValueError) as error:
                self._broken[path.name] = str(error)
                continue
            if follower.header is None or not values:
                continue
            source, host = follower.header["source"], follower.header["host"]
            found.setdefault(table, []).extend(Row(source, host, tuple(value)) for value in values)
            self._given[table, source] = self._given.get((table, source), 0) + len(values)
        return found

    def _from_tables(self) -> dict[str, list[Row]]:
        """What the sealed tables hold beyond that which the spools gave: a table has each source's rows in the order in
        which they were written."""
        found: dict[str, list[Row]] = {}
        for table in self._tables:
            path = self._sealed / f"{table}.parquet"
            if not path.exists():
                continue
            columns = [*TABLES[table].columns, "source", "host"]
            try:
                rows = pl.read_parquet(path, columns=columns).select(columns)
            except (OSError, pl.exceptions.PolarsError) as error:
                self._broken[path.name] = str(error).splitlines()[0]
                continue
            for (source,), part in rows.group_by("source", maintain_order=True):
                rest = part.slice(self._given.get((table, str(source)), 0))
                found.setdefault(table, []).extend(Row(row[-2], row[-1], row[:-2]) for row in rest.iter_rows())
        return found
