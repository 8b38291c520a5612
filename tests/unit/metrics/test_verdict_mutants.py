"""The checker against planted faults: none of them may read "intact"."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest
from faketrial import record

from migrascope.analysis.run import result_of
from migrascope.metrics.verdict.judge import judge
from migrascope.metrics.verdict.recorded import evidence_of
from migrascope.metrics.verdict.spans import NS
from migrascope.model.postcheck import PostCheck
from migrascope.model.verdict import VERDICTS
from migrascope.model.witness import RECORD_BYTES, chained, parse_record, record_line
from migrascope.store.recording import LEDGER, VOLUME, Recording

Rows = list[dict[str, Any]]


class Planted(Recording):
    """A recording whose tables, files and proofs can be changed."""

    def __init__(self, whole: Recording, folder: Path) -> None:
        super().__init__(folder, trial=replace(whole.trial, proof=dict(whole.trial.proof)))
        self._whole, self.events = whole, whole.events
        self._changed: dict[str, pl.DataFrame] = {}
        folder.mkdir()
        for name in (LEDGER, VOLUME):
            (folder / name).write_bytes((whole.folder / name).read_bytes())

    def table(self, name: str) -> pl.DataFrame:
        return self._changed[name] if name in self._changed else self._whole.table(name)

    def change(self, name: str, changed: Callable[[Rows], Rows]) -> None:
        """Replaces the rows of a table by what is made of them."""
        before = self._whole.table(name)
        self._changed[name] = pl.DataFrame(changed(before.rows(named=True)), schema=before.schema)

    def at(self, name: str) -> int:
        """The stamp of an event, ns."""
        return next(event.mono_ns for event in self.events if event.name == name)

    def book(self, changed: Callable[[list[bytes]], list[bytes]]) -> None:
        """Replaces the records of the ledger on the volume."""
        path = self.folder / LEDGER
        content = path.read_bytes()
        lines = [content[at : at + RECORD_BYTES] for at in range(0, len(content), RECORD_BYTES)]
        path.write_bytes(b"".join(changed(lines)))

    def volume(self, **changed: Any) -> None:
        path = self.folder / VOLUME
        path.write_text(json.dumps(json.loads(path.read_text()) | changed))


class Mutant(NamedTuple):
    """A planted fault, and the least bad verdict that is still right."""

    plant: Callable[[Planted], None]
    least: str


def _stale_page(seen: Planted) -> None:
    """The guest's page cache holds a page of before: the file differs on the volume."""
    seen.volume(site={"/index.html": "f" * 64})


def _stale_memory(seen: Planted) -> None:
    seen.trial.proof["memory"] = PostCheck("fail", "1 of 1024 pages bad")


def _second_writer(seen: Planted) -> None:
    """From the end of the migration on another copy reports, too, and gets receipts of its own."""
    over = seen.at("migrate_done")

    def both(rows: Rows) -> Rows:
        receipt, found = None, list(rows)
        for row in [row for row in rows if row["recv_ns"] > over]:
            held = row["receipt"] if receipt is None else receipt
            receipt = row["given"] + 5000
            found.append(row | {"recv_ns": row["recv_ns"] + NS // 50, "receipt": held, "given": receipt})
        return sorted(found, key=lambda row: int(row["recv_ns"]))

    seen.change("ledger", both)


def _lost_fsync(seen: Planted) -> None:
    seen.book(lambda lines: lines[:-1])


def _lost_in_the_middle(seen: Planted) -> None:
    seen.book(lambda lines: [*lines[:9], bytes(RECORD_BYTES), *lines[10:]])


def _replayed_record(seen: Planted) -> None:
    seen.book(lambda lines: [*lines, lines[4]])


def _torn_record(seen: Planted) -> None:
    seen.book(lambda lines: [*lines[:7], lines[7][:30] + b"?" + lines[7][31:], *lines[8:]])


def _older_write_over_newer(seen: Planted) -> None:
    seen.book(lambda lines: [*lines[:11], lines[3], *lines[12:]])


def _unreported_writer(seen: Planted) -> None:
    """A copy that reaches nobody goes on writing the ledger behind the true one's end."""

    def went_on(lines: list[bytes]) -> list[bytes]:
        last = parse_record(lines[-1])
        assert last is not None
        return lines + [record_line(last[0] + at, last[1], 9000 + at) for at in range(1, 9)]

    seen.book(went_on)


def _forked_guest(seen: Planted) -> None:
    """A copy answers every third request after the migration, from the counter that it had at the fork."""

    def forked(rows: Rows) -> Rows:
        found: Rows = []
        counter, last = 0, "00000000"
        for at, row in enumerate(rows):
            if row["answered_ns"] and row["answered_ns"] < seen.at("migrate_request"):
                counter, last = row["counter"], row["hash"]
            if row["answered_ns"] > seen.at("migrate_done") and at % 3 == 0:
                counter, last = counter + 1, chained(last, row["request"])
                row = row | {"counter": counter, "hash": last}
            found.append(row)
        return found

    seen.change("liveness", forked)


def _counter_without_a_chain(seen: Planted) -> None:
    """A witness that lies: it counts on, by two, and makes its hashes up."""
    seen.change("liveness", lambda rows: [row | {"counter": 2 * row["counter"], "hash": f"{at:08x}"}
                                          for at, row in enumerate(rows)])  # fmt: skip


def _answer_from_a_cache(seen: Planted) -> None:
    """Something between answers for the guest, always the same."""
    first = seen.table("liveness").row(0, named=True)
    kept = {key: first[key] for key in ("boot_id", "counter", "hash")}
    seen.change("liveness", lambda rows: [row | kept if row["answered_ns"] else row for row in rows])


def _reboot_that_answers(seen: Planted) -> None:
    def rebooted(rows: Rows) -> Rows:
        found, counter, last = [], 0, "00000000"
        for row in rows:
            if row["answered_ns"] > seen.at("migrate_done"):
                counter, last = counter + 1, chained(last, row["request"])
                row = row | {"boot_id": "another", "counter": counter, "hash": last}
            found.append(row)
        return found

    seen.change("liveness", rebooted)


def _reboot_that_reports(seen: Planted) -> None:
    """Only the ledger knows: its records are of another boot after the migration."""
    over = seen.at("migrate_done")
    seen.change("ledger", lambda rows: [row | ({"boot": "f" * 32} if row["recv_ns"] > over else {}) for row in rows])


def _clock_that_goes_back(seen: Planted) -> None:
    """The meter's own clock goes back by two seconds in the middle, in every table."""
    at, step = seen.at("migrate_request") + NS, 2 * NS
    stamps = {
        "ledger": ("recv_ns",), "liveness": ("asked_ns", "answered_ns"), "qmp_status": ("asked_ns", "answered_ns"),
        "frame": ("from_ns", "until_ns"), "visit": ("due_ns", "done_ns"),
    }  # fmt: skip
    for table, names in stamps.items():

        def stepped(rows: Rows, names: Sequence[str] = names) -> Rows:
            return [row | {name: row[name] - step if row[name] > at else row[name] for name in names} for row in rows]

        seen.change(table, stepped)


def _answers_before_they_were_asked_for(seen: Planted) -> None:
    seen.change("liveness", lambda rows: [
        row | {"answered_ns": row["asked_ns"] - NS} if row["answered_ns"] and at % 9 == 0 else row
        for at, row in enumerate(rows)
    ])  # fmt: skip


def _both_run(seen: Planted) -> None:
    source = seen.trial.source
    running = json.dumps({"status": "running", "running": True})
    seen.change("qmp_event", lambda rows: [row for row in rows if row["event"] != "STOP"])
    seen.change("qmp_status", lambda rows: [
        row | {"answer": running} if row["host"] == source and row["command"] == "query-status" else row for row in rows
    ])  # fmt: skip


def _hypervisor_that_lies(seen: Planted) -> None:
    """The hypervisors say that the guest moved, and its frames come from where it was."""
    source, destination = seen.trial.source, seen.trial.destination
    other = {source: destination, destination: source}
    over = seen.at("migrate_done")
    seen.change("frame", lambda rows: [row | ({"node": other[row["node"]]} if row["from_ns"] > over - NS // 2 else {})
                                       for row in rows])  # fmt: skip


def _runs_nowhere(seen: Planted) -> None:
    over = seen.at("migrate_done")
    crashed = json.dumps({"status": "internal-error", "running": False})
    seen.change("qmp_status", lambda rows: [
        row | ({"answer": crashed} if row["asked_ns"] > over and row["command"] == "query-status" else {})
        for row in rows
    ])  # fmt: skip


def _second_sender(seen: Planted) -> None:
    """A copy on the source that sends now and then."""
    source, over = seen.trial.source, seen.at("migrate_done")
    seen.change("frame", lambda rows: [
        row | ({"frames": 1} if row["node"] == source and row["from_ns"] > over and at % 14 == 0 else {})
        for at, row in enumerate(rows)
    ])  # fmt: skip


def _silent_service(seen: Planted) -> None:
    over = seen.at("migrate_done")
    seen.change("visit", lambda rows: [
        row | {"done_ns": 0, "error": "timeout"} if over - 4 * NS < row["due_ns"] < over else row for row in rows
    ])  # fmt: skip


def _broken_file_system(seen: Planted) -> None:
    seen.volume(fsck={"code": 4, "text": "errors left uncorrected"})


def _collector_that_repeats_itself(seen: Planted) -> None:
    """A witness that lies: it gives one receipt to two records."""
    seen.change("ledger", lambda rows: [row | {"given": rows[at - 1]["given"]} if at == 20 else row
                                        for at, row in enumerate(rows)])  # fmt: skip


def _witness_that_went_away(seen: Planted) -> None:
    over = seen.at("migrate_done")
    seen.change("ledger", lambda rows: [row for row in rows if row["recv_ns"] < over])


def _end_before_the_request(seen: Planted) -> None:
    early = seen.at("migrate_request") - NS
    seen.events = [replace(event, mono_ns=early) if event.name == "migrate_done" else event for event in seen.events]


MUTANTS = {
    "stale page": Mutant(_stale_page, "data lost"),
    "stale memory": Mutant(_stale_memory, "data lost"),
    "second writer": Mutant(_second_writer, "two copies"),
    "lost fsync": Mutant(_lost_fsync, "data lost"),
    "lost in the middle": Mutant(_lost_in_the_middle, "data lost"),
    "replayed record": Mutant(_replayed_record, "data lost"),
    "torn record": Mutant(_torn_record, "data lost"),
    "older write over newer": Mutant(_older_write_over_newer, "data lost"),
    "unreported writer": Mutant(_unreported_writer, "unknown"),
    "forked guest": Mutant(_forked_guest, "two copies"),
    "counter without a chain": Mutant(_counter_without_a_chain, "unknown"),
    "answer from a cache": Mutant(_answer_from_a_cache, "two copies"),
    "reboot that answers": Mutant(_reboot_that_answers, "guest lost"),
    "reboot that reports": Mutant(_reboot_that_reports, "guest lost"),
    "clock that goes back": Mutant(_clock_that_goes_back, "unknown"),
    "answers before they were asked for": Mutant(_answers_before_they_were_asked_for, "unknown"),
    "both run": Mutant(_both_run, "two copies"),
    "hypervisor that lies": Mutant(_hypervisor_that_lies, "unknown"),
    "runs nowhere": Mutant(_runs_nowhere, "guest lost"),
    "second sender": Mutant(_second_sender, "two copies"),
    "silent service": Mutant(_silent_service, "service lost"),
    "broken file system": Mutant(_broken_file_system, "data lost"),
    "collector that repeats itself": Mutant(_collector_that_repeats_itself, "unknown"),
    "witness that went away": Mutant(_witness_that_went_away, "unknown"),
    "end before the request": Mutant(_end_before_the_request, "unknown"),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    recording = record(tmp_path_factory.mktemp("whole"))
    assert result_of(recording).judgement.verdict == "intact"
    return recording


@pytest.mark.parametrize("name", MUTANTS)
def test_no_planted_fault_reads_intact(name: str, whole: Recording, tmp_path: Path) -> None:
    seen = Planted(whole, tmp_path / "planted")
    assert judge(evidence_of(seen)).verdict == "intact", "what is planted makes the difference"
    MUTANTS[name].plant(seen)
    judgement = judge(evidence_of(seen))
    assert VERDICTS.index(judgement.verdict) >= VERDICTS.index(MUTANTS[name].least), judgement.text
