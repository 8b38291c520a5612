"""events.ndjson: one event on each line, written at once, so that it can be followed."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from migrascope.model.clock import clock_pair
from migrascope.model.events import Event, Name
from migrascope.store.document import open_regular

_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


class EventLog:
    """Appends events of one host, instance and migration to a file."""

    def __init__(self, path: Path, host: str, instance: str = "", migration: str = "") -> None:
        self.path, self.host, self.instance, self.migration = path, host, instance, migration

    def add(self, name: Name, **data: Any) -> Event:
        """Now."""
        return self._write(name, *clock_pair(), data)

    def add_at(self, name: Name, mono_ns: int, **data: Any) -> Event:
        """At an earlier moment, whose wall clock's stamp follows from how long ago it was."""
        mono, wall = clock_pair()
        return self._write(name, mono_ns, wall - (mono - mono_ns), data)

    def _write(self, name: Name, mono_ns: int, wall_ns: int, data: dict[str, Any]) -> Event:
        event = Event(name, mono_ns, wall_ns, self.host, self.instance, self.migration, data)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(event)) + "\n")
        return event


def read_events(path: Path) -> Iterator[Event]:
    """The events of a file in their order; a torn last line is dropped. ValueError where it is no regular file, or a
    line is no event."""
    with open_regular(path) as file:
        content = file.read()
    for number, line in enumerate(content.split(b"\n")[:-1], 1):
        try:
            yield _EVENT.validate_json(line)
        except ValidationError:
            raise ValueError(f"its line {number} is no event") from None
