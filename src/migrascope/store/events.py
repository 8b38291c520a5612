"""events.ndjson: one event on each line, written at once, so that it can be followed."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from migrascope.model.clock import clock_pair
from migrascope.model.events import Event, Name


class EventLog:
    """Appends events of one host, instance and migration to a file."""

    def __init__(self, path: Path, host: str, instance: str = "", migration: str = "") -> None:
        self.path, self.host, self.instance, self.migration = path, host, instance, migration

    def add(self, name: Name, **data: Any) -> Event:
        mono, wall = clock_pair()
        return self.add_at(name, mono, wall, **data)

    def add_at(self, name: Name, mono_ns: int, wall_ns: int, **data: Any) -> Event:
        event = Event(name, mono_ns, wall_ns, self.host, self.instance, self.migration, data)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(event)) + "\n")
        return event


def read_events(path: Path) -> Iterator[Event]:
    """The events of a file in their order; a torn last line is dropped."""
    for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
        yield Event(**json.loads(line))
