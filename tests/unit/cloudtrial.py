"""A trial as the OpenStack lab records it: a scripted migration, and what API, libvirt, journals and taps say of it."""

import json
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from faketrial import FACTORS, PLAN, SCRIPT

from migrascope.metrics.windows import Windows, windows_of
from migrascope.model.schedule import TrialSpec
from migrascope.store.recording import Recording, TrialFacts
from migrascope.store.runfolder import RunFolder
from migrascope.store.spool import Spool
from migrascope.study.labs.fake import FakeTrials
from migrascope.study.plans import text_of

S = 10**9
MS = 10**6
SOURCE, DESTINATION = "host-a", "host-b"
SPEC = TrialSpec(1, 1, FACTORS, SOURCE, DESTINATION)
HYPERVISOR = (
    "qmp_event", "qmp_status", "libvirt_event", "libvirt_job", "host_clock", "link", "frame", "announce", "journal",
    "ceph",
)  # fmt: skip
POLL = S // 2
ANSWER = 100 * MS
_KEPT = tempfile.TemporaryDirectory()
_SEALED: dict[str, Path] = {}


@dataclass(frozen=True)
class Cloud:
    """What the scripted cloud says, in ns from the request. early_ns: how long before STOP the network left the
    source; counts: whether Nova wrote its counts; record: whether we may see the migration's record. clocks_ns: how far
    each host's clock is from ours, where it is its own and was read; bracket_ns: how long a reading took. nova: its
    settings of migrations, None where they are not known; qemu: what QEMU says that it was set to."""

    plain: Recording
    windows: Windows
    early_ns: int = 400 * MS
    late_ns: int = 0
    counts: bool = True
    record: bool = True
    moved: bool = True
    health: str = "HEALTH_OK"
    libvirt_bytes: float = 150_000_000
    one_clock: bool = True
    clocks_ns: dict[str, int] = field(default_factory=dict)
    bracket_ns: int = 2 * MS
    nova: dict[str, Any] | None = field(default_factory=lambda: {"permit_post_copy": True, "bandwidth_mib_s": 100})
    qemu: dict[str, Any] = field(default_factory=lambda: {"postcopy-ram": True, "max-bandwidth": 100 * 2**20})

    @property
    def request(self) -> int:
        assert self.windows.request is not None
        return self.windows.request

    def at(self, since: int) -> int:
        return self.request + since

    def wall(self, mono: int) -> int:
        return mono + self.plain.wall_clock.offset_ns()

    @property
    def stop(self) -> int:
        assert self.windows.stop is not None
        return self.windows.stop

    @property
    def resume(self) -> int:
        assert self.windows.resume is not None
        return self.windows.resume

    def tables(self) -> dict[tuple[str, str], Iterable[tuple[Any, ...]]]:
        return {
            ("api", "cloud"): list(self.api()),
            ("libvirt_event", SOURCE): [self.job()],
            ("qmp_status", SOURCE): self.told(),
            ("announce", "fabric"): self.announce(),
            ("journal", SOURCE): self.journal(),
            **{("host_clock", host): self.clock(host) for host in self.clocks_ns},
            ("ceph", "cloud"): [
                (self.at(at * S), self.at(at * S + MS), self.health, "" if self.health == "HEALTH_OK" else "SLOW", 0, 9)
                for at in range(-2, 4)
            ],
        }

    def clock(self, host: str) -> list[tuple[Any, ...]]:
        """Readings twice a second while the instance runs there; each stamp is early in its bracket."""
        first, last = (self.at(-5 * S), self.stop) if host == SOURCE else (self.resume + 5 * MS, self.resume + 3 * S)
        return [
            (at, at + self.bracket_ns, self.wall(at + self.bracket_ns // 5) + self.clocks_ns[host])
            for at in range(first, last, POLL)
        ]

    def job(self) -> tuple[Any, ...]:
        job = {"operation": 5, "time_elapsed": 1900, "downtime": 230, "downtime_net": 229, "setup_time": 2}
        return ("job-completed", self.resume + 50 * MS, json.dumps({**job, "data_processed": self.libvirt_bytes}))

    def told(self) -> list[tuple[Any, ...]]:
        at, said = self.at(500 * MS), {"tls-creds": "", "downtime-limit": 300, **self.qemu}
        capabilities = [{"capability": name, "state": state} for name, state in self.qemu.items() if state is True]
        answers = {"query-migrate-capabilities": capabilities, "query-migrate-parameters": said}
        return [(at, at + MS, command, json.dumps(answer)) for command, answer in answers.items()]

    def announce(self) -> list[tuple[Any, ...]]:
        left, came = self.stop - self.early_ns, max(self.stop - self.early_ns + 2 * MS, self.resume + self.late_ns)
        if not self.late_ns:
            came = left + 2 * MS
        first = self.resume + 60 * MS
        return [
            (self.wall(self.at(-5 * S)), self.wall(left), SOURCE, "tap", "to", "frame", 3000),
            (self.wall(self.at(-5 * S)), self.wall(self.stop), SOURCE, "tap", "from", "frame", 3000),
            (self.wall(came), self.wall(came + S), DESTINATION, "tap", "to", "frame", 900),
            (self.wall(self.resume + MS), self.wall(self.resume + MS), DESTINATION, "tap", "from", "rarp", 1),
            (self.wall(self.resume + 3 * MS), self.wall(self.resume + 3 * MS), SOURCE, "tenant", "from", "rarp", 1),
            (self.wall(first), self.wall(first + S), DESTINATION, "tap", "from", "frame", 800),
            (self.wall(first + MS), self.wall(first + S), DESTINATION, "router", "from", "frame", 800),
        ]

    def journal(self) -> list[tuple[Any, ...]]:
        port = "/v2.0/ports/89f921b8-1eff-4608-a9ab-0852e3b338a3/bindings"
        said = {
            self.at(300 * MS): f"[pid: 1] POST {port} => generated 277 bytes (HTTP/1.1 201)",
            self.at(800 * MS): "Took 0.40 seconds for pre_live_migration on destination host host-b.",
            self.resume + 30 * MS: f"[pid: 1] PUT {port}/host-b/activate => generated 250 bytes (HTTP/1.1 200)",
        }
        return [(self.wall(mono), "nova-compute", message) for mono, message in said.items()]

    def api(self) -> Iterable[tuple[Any, ...]]:
        over = self.resume + S
        for asked in range(self.at(-2 * S - POLL // 2), over + 3 * S, POLL):
            since = asked + ANSWER // 2
            busy = self.request < since < over - S // 2
            moved = self.moved and since >= over - S // 2
            server = {
                "status": "MIGRATING" if busy else "ACTIVE",
                "OS-EXT-STS:task_state": "migrating" if busy else None,
                "hostId": "b" if moved else "a",
            }
            yield (asked, asked + ANSWER, "server", json.dumps(server), "")
            yield self._record(asked, since, over)
            states = {SOURCE: "INACTIVE" if since >= self.resume else "ACTIVE"}
            if since >= self.at(300 * MS):
                states[DESTINATION] = "ACTIVE" if since >= self.resume else "INACTIVE"
            if since >= over:
                del states[SOURCE]
            bindings = [{"host": host, "status": status} for host, status in states.items()]
            yield (asked, asked + ANSWER, "bindings", json.dumps(bindings), "")
            total = 10**9 if self.counts else 0
            counts = {"memory_total_bytes": total, "memory_processed_bytes": total // 20, "disk_processed_bytes": None}
            running = [counts] if self.request < since < over else []
            yield (asked, asked + ANSWER, "running", json.dumps(running), "")
        yield (over + 3 * S, over + 3 * S + MS, "actions", json.dumps([self.action()]), "")

    def _record(self, asked: int, since: int, over: int) -> tuple[Any, ...]:
        if not self.record:
            return (asked, asked + ANSWER, "record", "", "cloud x: Policy does not allow it")
        status = "accepted" if since < self.at(400 * MS) else "running" if since < over else "completed"
        return (asked, asked + ANSWER, "record", json.dumps([{"status": status}] if since > self.request else []), "")

    def action(self) -> dict[str, Any]:
        def event(name: str, start: int, finish: int) -> dict[str, Any]:
            stamps = [
                datetime.fromtimestamp(self.wall(self.at(at)) // S, UTC).isoformat()[:19] for at in (start, finish)
            ]
            return {"event": name, "host": DESTINATION, "start_time": stamps[0], "finish_time": stamps[1]}

        return {
            "action": "live-migration",
            "events": [
                event("compute_pre_live_migration", 400 * MS, 800 * MS),
                event("compute_check_can_live_migrate_source", 240 * MS, 260 * MS),
                event("compute_check_can_live_migrate_destination", 220 * MS, 290 * MS),
            ],
        }


def record(folder: Path, *, drop: tuple[str, ...] = (), **changes: Any) -> Recording:
    """One sealed trial; changes are those of a Cloud. The same are made once, and each test has a copy."""
    key = repr((drop, sorted(changes.items())))
    if key not in _SEALED:
        _SEALED[key] = record_run(_kept(), [changes], drop=drop).path
    folder.mkdir(parents=True, exist_ok=True)
    run = shutil.copytree(_SEALED[key], tempfile.mkdtemp(dir=folder), dirs_exist_ok=True)
    return Recording(Path(run) / "trials/1")


def record_run(folder: Path, trials: Sequence[dict[str, Any]], *, drop: tuple[str, ...] = ()) -> RunFolder:
    """A run with a trial for each of these changes of a Cloud."""
    axes = PLAN.axes.model_copy(update={"scenario": [FACTORS.scenario]})
    plan = text_of(PLAN.model_copy(update={"blocks": len(trials), "axes": axes}))
    run = RunFolder.create(folder, plan, {})
    for number, changes in enumerate(trials, 1):
        _told(run, number, drop, replace(_plain(number), **changes))
    return run


def api_only(folder: Path, **changes: Any) -> Recording:
    """The same where no host is in reach."""
    return record(folder, drop=HYPERVISOR, **changes)


def _kept() -> Path:
    """A folder that stays as long as this process."""
    return Path(tempfile.mkdtemp(dir=_KEPT.name))


@cache
def _made(number: int) -> tuple[Path, TrialFacts]:
    """What the scripted trial of that number has written, not yet sealed, and its facts. It is made once."""
    folder = _kept()
    return folder, FakeTrials(PLAN, lambda _: SCRIPT).run_now(replace(SPEC, number=number), folder)


@cache
def _plain(number: int) -> Cloud:
    """A cloud without changes around the scripted trial of that number."""
    run = RunFolder.create(_kept(), text_of(PLAN), {})
    spools, facts = _made(number)
    plain = run.seal_trial(_copied(spools, run, number), facts)
    return Cloud(plain, windows_of(plain))


def _copied(spools: Path, run: RunFolder, number: int) -> Path:
    return Path(shutil.copytree(spools, run.open_trial(number), dirs_exist_ok=True))


def _told(run: RunFolder, number: int, drop: tuple[str, ...], cloud: Cloud) -> Recording:
    """The scripted trial, with what the cloud tells of it, and without the tables in `drop`."""
    spools, facts = _made(number)
    opened = _copied(spools, run, number)
    for (table, host), rows in cloud.tables().items():
        with Spool(opened, table, source=f"{table}-{host}", host=host) as spool:
            spool.add_all(rows)
    for table in drop:
        for path in opened.glob(f"{table}@*"):
            path.unlink()
    for host, ahead in cloud.clocks_ns.items():
        _ahead(opened / f"qmp_event@qmp-{host}.jsonl", ahead)
    name = "" if cloud.one_clock else "elsewhere"
    facts = replace(facts, plan={**facts.plan, "cloud": {"name": name}}, facts={**facts.facts, "lab": "openstack"})
    facts = replace(facts, settings={} if cloud.nova is None else {"nova": cloud.nova})
    events = [json.loads(line) for line in (opened / "events.ndjson").read_text().splitlines()]
    for event in events:
        if event["name"] == "migrate_done":
            event["data"] = {"answer": {"status": "completed", "record": {}, "accepted_ns": cloud.at(200 * MS)}}
    (opened / "events.ndjson").write_text("".join(json.dumps(event) + "\n" for event in events))
    return run.seal_trial(opened, facts)


def _ahead(path: Path, by_ns: int) -> None:
    """QEMU's stamps as a host's own clock gives them."""
    header, *rows = map(json.loads, path.read_text().splitlines())
    moved = [[event, wall + by_ns, *rest] for event, wall, *rest in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in [header, *moved]))
