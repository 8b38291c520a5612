"""A sealed trial as it was while it ran: its rows and events once more, each when it had been written."""

from collections.abc import Sequence
from typing import Any

from migrascope.model.events import Event
from migrascope.model.tables import TABLES
from migrascope.store.following import News, Row

_STAMPS = {
    name: tuple(at for at, column in enumerate(table.columns) if column.endswith("_ns") and "wall_ns" not in column)
    for name, table in TABLES.items()
}


def written_ns(table: str, values: Sequence[Any]) -> int:
    """Mono ns before which a row cannot have been written: its latest stamp. What was given up has none of its end."""
    return max((values[at] for at in _STAMPS[table]), default=0)


class Replay:
    """What a look at a sealed trial brought, given out by its stamps."""

    def __init__(self, news: News) -> None:
        rows = [
            (written_ns(table, row.values), at, table, row)
            for table, found in news.rows.items()
            for at, row in enumerate(found)
        ]
        self._rows: list[tuple[int, int, str, Row]] = sorted(rows, key=lambda row: row[:3])
        self._events: list[Event] = sorted(news.events, key=lambda event: event.mono_ns)
        self._broken = news.broken
        self._row = self._event = 0
        self.begin_ns = self._events[0].mono_ns if self._events else 0
        self.end_ns = self._events[-1].mono_ns if self._events else 0

    def news(self, now_ns: int) -> News:
        """What had been written by then, and was not given out before."""
        rows: dict[str, list[Row]] = {}
        while self._row < len(self._rows) and self._rows[self._row][0] <= now_ns:
            _, _, table, row = self._rows[self._row]
            rows.setdefault(table, []).append(row)
            self._row += 1
        begun = self._event
        while self._event < len(self._events) and self._events[self._event].mono_ns <= now_ns:
            self._event += 1
        return News(tuple(self._events[begun : self._event]), rows, broken=self._broken)
