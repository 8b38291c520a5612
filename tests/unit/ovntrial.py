"""What OVN 25.03 and its switches said in two real migrations on the testbed, put into a scripted trial."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from cloudtrial import DESTINATION, MS, SOURCE, record

from migrascope.metrics.windows import windows_of
from migrascope.store.recording import Recording, polars_schema

SAID = Path(__file__).parent / "metrics"
NEARER = 0.15
_COLUMNS = {"ovn": "what", "journal": "unit"}
_TEXTS = {"ovn": "line", "journal": "message"}


@dataclass(frozen=True)
class Line:
    """A row of that table; name: what said it."""

    table: str
    host: str
    wall_ns: int
    name: str
    text: str


def said(way: str) -> tuple[dict[str, Any], list[Line]]:
    """(hosts and stamps of the migration, its lines). way: to-compute or to-controller."""
    head, *lines = (SAID / f"ovn-{way}.ndjson").read_text(encoding="utf-8").splitlines()
    return json.loads(head), [Line(*json.loads(line)) for line in lines]


def wired(folder: Path, way: str, keep: str = "", **changes: Any) -> Recording:
    """The scripted trial of a cloud with the lines of that migration, as if their RESUME were its own. What was said
    before RESUME is nearer to it by NEARER, because the scripted migration is shorter. keep: a pattern that is in the
    lines that count. changes: those of the scripted cloud."""
    recording = record(folder, **changes)
    facts, lines = said(way)
    resume = windows_of(recording).resume
    assert resume is not None
    resume += recording.wall_clock.offset_ns()
    theirs = int(facts["resume_wall_ns"])

    def moved(wall_ns: int) -> int:
        since = wall_ns - theirs
        return resume + (since if since > 0 else round(since * NEARER))

    hosts = {facts["source"]: SOURCE, facts["destination"]: DESTINATION}
    names = re.compile("|".join(hosts))
    rows: dict[str, list[dict[str, Any]]] = {"ovn": [], "journal": []}
    for line in lines:
        text = names.sub(lambda name: hosts[name[0]], line.text)
        text = re.sub(r'(?<="ovn-installed-ts",")\d+', lambda stamp: str(moved(int(stamp[0]) * MS) // MS), text)
        if re.search(keep, text):
            of_host = {"source": f"{line.table}-x", "host": hosts[line.host], "instance": "vm-1", "migration": "m-1"}
            told = {"wall_ns": moved(line.wall_ns), _COLUMNS[line.table]: line.name, _TEXTS[line.table]: text}
            rows[line.table].append(told | of_host)
    for table, found in rows.items():
        pl.DataFrame(found, schema=polars_schema(table)).write_parquet(recording.folder / f"{table}.parquet")
    return Recording(recording.folder)
