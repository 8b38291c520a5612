"""The fake lab: a scripted migration of no machine at all, recorded as a real one would be.

    trials = FakeTrials(plan)
    facts = await trials.run(spec, run.open_trial(spec.number))

It needs no root, does not sleep, and writes the same tables for the same seed. For tests, documents and plans in the
making; every recording says lab "fake".
"""

import json
import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from migrascope.lab.fake_traffic import Traffic
from migrascope.lab.script import S, Script, default_script, time_line
from migrascope.model.events import Name
from migrascope.model.plan import LINKS, Plan
from migrascope.model.schedule import TrialSpec
from migrascope.model.witness import chained, record_line
from migrascope.store.events import EventLog
from migrascope.store.recording import LEDGER, VOLUME, TrialFacts
from migrascope.store.spool import Spool

__all__ = ["FakeTrials", "Script", "default_script"]

TICK = S // 10
PAGE = 4096
MSS = 1448
HEADERS = 66
PORTS = {
    "management": ("host-a", "host-b"),
    "storage": ("host-a", "host-b", "storage"),
    "migration": ("host-a", "host-b"),
    "tenant": ("host-a", "host-b"),
    "external": ("client", "origin"),
}


class FakeTrials:
    """Runs the trials of a plan as scripts. script: the truths of each trial, by default plausible ones by seed."""

    def __init__(self, plan: Plan, script: Callable[[TrialSpec], Script] | None = None) -> None:
        self.plan = plan.loaded(plan.full_load()) if plan.visitors.fits else plan
        self._script = script or (lambda spec: default_script(spec, plan.seed))

    def script(self, spec: TrialSpec) -> Script:
        """The truths from which `run` records this trial."""
        return self._script(spec)

    async def run(self, spec: TrialSpec, opened: Path) -> TrialFacts:
        """Writes events and spools of the trial into `opened`, ready to be sealed. OSError when it cannot."""
        script = self.script(spec)
        return _Trial(self.plan, spec, script, opened).record()


class _Trial:
    def __init__(self, plan: Plan, spec: TrialSpec, script: Script, opened: Path) -> None:
        self.plan, self.spec, self.script, self.opened = plan, spec, script, opened
        self.times = time_line(script, plan, spec.number)
        self.instance, self.migration = f"instance-{spec.number}", f"migration-{spec.number}"

    def record(self) -> TrialFacts:
        self._events()
        self._control()
        self._links()
        if self.spec.factors.probes == "all":
            self._machine()
            self._liveness()
            self._witnesses()
            traffic = Traffic(self.plan, self.spec, self.script, self.times)
            for table, source, rows in traffic.tables():
                self._write(table, source, "client", rows)
        return self._facts()

    def _write(self, table: str, source: str, host: str, rows: Iterable[tuple[Any, ...]]) -> None:
        ids = {"instance": self.instance, "migration": self.migration}
        with Spool(self.opened, table, source=source, host=host, flush_s=3600, **ids) as spool:
            for row in rows:
                spool.add(*row)

    def _ticks(self) -> range:
        return range(self.times.steady, self.times.end, TICK)

    def _wall(self, mono: int) -> int:
        return self.script.wall_ns(mono, self.times)

    def _events(self) -> None:
        times, script = self.times, self.script
        log = EventLog(self.opened / "events.ndjson", "engine", self.instance, self.migration)

        def add(name: Name, mono: int, **data: Any) -> None:
            log.add_at(name, mono, self._wall(mono), **data)

        add("trial_start", times.start)
        add("phase", times.start, phase="arrange")
        add("phase", times.steady, phase="steady")
        add("phase", times.before, phase="before")
        add("phase", times.request - 1000, phase="migrate")
        add("migrate_request", times.request, source=self.spec.source, destination=self.spec.destination)
        if times.complete is not None and times.resume is not None:
            done = times.complete + S // 50
            answer = self._query_migrate(times.complete)
            add("migrate_done", done, answer=answer, running_destination_ns=times.resume + S // 1000)
        elif times.failed is not None:
            add("migrate_failed", times.failed, reason=_REASONS[script.failure or ""])
        if times.recovered is not None:
            add("phase", times.recovered - 1000, phase="settle")
            add("recovered", times.recovered)
        add("phase", times.after, phase="after")
        add("probes_stopping", times.stopping)
        add("phase", times.stopping, phase="drain")
        add("phase", times.end, phase="collect")
        add("trial_end", times.end)

    def _control(self) -> None:
        for host in ("host-a", "host-b"):
            self._write("qmp_event", f"qmp-{host}", host, self._qmp_events(host))
            self._write("qmp_status", f"qmp-{host}", host, self._qmp_status(host))

    def _qmp_events(self, host: str) -> Iterator[tuple[Any, ...]]:
        times, script = self.times, self.script
        happened: list[tuple[int | None, str, dict[str, Any]]] = []
        if host == self.spec.source:
            last = times.stop or times.failed or times.end
            step = (last - times.first_pass) // (script.rounds + 1)
            happened += [(times.request + S // 1000, "MIGRATION", {"status": "setup"})]
            happened += [
                (times.first_pass + at * step, "MIGRATION_PASS", {"pass": at + 1}) for at in range(script.rounds)
            ]
            happened += [(times.stop, "STOP", {}), (times.complete, "MIGRATION", {"status": "completed"})]
            if script.failure == "destination-died":
                happened += [(times.failed, "MIGRATION", {"status": "failed"})]
        else:
            happened += [(times.request + S // 500, "MIGRATION", {"status": "active"}), (times.resume, "RESUME", {})]
        for mono, event, data in happened:
            if mono is not None:
                yield event, self._wall(mono) // 1000 * 1000, mono + S // 2000, json.dumps(data)

    def _qmp_status(self, host: str) -> Iterator[tuple[Any, ...]]:
        dead = self.times.failed if self.script.failure == "source-killed" else None
        for asked in self._ticks():
            if host == self.spec.source:
                gone = dead is not None and asked >= dead
                stopped = self.times.stop is not None and asked >= self.times.stop
                state = {"status": "postmigrate" if stopped else "running", "running": not stopped}
                for command, said in (("query-status", state), ("query-migrate", self._query_migrate(asked))):
                    yield asked, 0 if gone else asked + S // 1000, command, "" if gone else json.dumps(said)
            else:
                running = self.times.resume is not None and asked >= self.times.resume
                state = {"status": "running" if running else "inmigrate", "running": running}
                yield asked, asked + S // 1000, "query-status", json.dumps(state)

    def _query_migrate(self, now: int) -> dict[str, Any]:
        times, script = self.times, self.script
        if now <= times.request:
            return {}
        done = self._copied(now)
        pages = self.spec.factors.memory_bytes // PAGE
        again = script.dirty_rate_Bps / PAGE * script.precopy_s
        ram: dict[str, Any] = {
            "total": self.spec.factors.memory_bytes,
            "transferred": round(done * script.reported_transferred_bytes),
            "page-size": PAGE,
            "normal": round(done * script.data_bytes / PAGE),
            "duplicate": round(done * (pages + again - script.data_bytes / PAGE)),
            "dirty-sync-count": script.rounds,
        }
        if times.complete is not None and now >= times.complete:
            total, down = round(1000 * script.reported_total_s), round(1000 * script.reported_downtime_s)
            return {"status": "completed", "total-time": total, "downtime": down, "setup-time": 5, "ram": ram}
        if times.failed is not None and now >= times.failed:
            return {"status": "cancelled" if script.failure == "not-converged" else "failed"}
        ram["dirty-pages-rate"] = round(script.dirty_rate_Bps / PAGE) if now > times.request + TICK else 0
        return {"status": "active", "total-time": (now - times.request) // 1_000_000, "ram": ram}

    def _copied(self, now: int) -> float:
        begin, end = self.times.first_pass, self.times.first_pass + round(self._copy_s() * S)
        return min(1.0, max(0.0, (now - begin) / (end - begin)))

    def _copy_s(self) -> float:
        return self.script.precopy_s - 0.02 + self.script.reported_downtime_s

    def _machine(self) -> None:
        chance = random.Random(f"machine/{self.plan.seed}/{self.spec.number}")
        self._write("clock", "machine", "machine", ((at, self._wall(at)) for at in self._ticks()))
        names = ["qemu-host-a", "qemu-host-b", "echo"]
        self._write("process_cpu", "machine", "machine", (
            (at, name, round((at - self.times.start) / S * share, 4), 200 << 20)
            for at in self._ticks() for name, share in zip(names, (0.4, 0.3, 0.03), strict=True)
        ))  # fmt: skip
        waiting = range(self.times.steady, self.times.request, 10 * TICK)
        self._write("guest_load", "engine", "client", (
            (at, at + S // 500, 9.0 + (at - self.times.steady) / S, 7.0 + 0.7 * (at - self.times.steady) / S, 1)
            for at in waiting
        ))  # fmt: skip
        rows, busy, pressed = [], 100.0, 0
        for at in self._ticks():
            busy += chance.uniform(0.05, 0.12)
            pressed += chance.randrange(0, 2000)
            rows.append((at, round(busy, 4), 0.0, pressed, 0, pressed // 10, 4 << 30))
        self._write("machine", "machine", "machine", rows)

    def _links(self) -> None:
        self._write("link", "link", "fabric", self._link_rows())

    def _link_rows(self) -> Iterator[tuple[Any, ...]]:
        for at in self._ticks():
            elapsed = (at - self.times.start) / S
            moved = round(self._copied(at) * self.script.data_bytes)
            packets = -(-moved // MSS)
            bulk, acks = moved + HEADERS * packets, packets // 2
            for link, nodes in PORTS.items():
                for node in nodes:
                    idle = round(elapsed * 20)
                    row = [idle * 1500, idle, idle * 400, idle, 0]
                    if link == "migration":
                        sends = node == self.spec.source
                        down, up = (HEADERS * acks, acks), (bulk, packets)
                        row = [*down, *up, 0] if sends else [*up, *down, 0]
                    yield (at, link, node, *row)

    def _liveness(self) -> None:
        rows: list[tuple[Any, ...]] = []
        counter, chain = 0, "00000000"
        for seq, at in enumerate(self._ticks()):
            if self._out(at):
                rows.append((at, 0, str(seq), "", 0, "", "timeout"))
                continue
            counter, chain = counter + 1, chained(chain, str(seq))
            rows.append((at, at + S // 500, str(seq), f"boot-{self.spec.number}", counter, chain, ""))
        self._write("liveness", "liveness", "client", rows)

    def _out(self, at: int) -> bool:
        """Whether the guest can neither be heard nor hear."""
        times = self.times
        return times.stop is not None and at >= times.stop and (times.first_reply is None or at < times.first_reply)

    def _witnesses(self) -> None:
        """The ledger's records, one at every second tick, and the frames of the instance at the switch."""
        boot = f"{self.spec.number:032x}"
        heard = [at for at in self._ticks() if not self._out(at)][::2]
        records = [(at, number, boot, number - 1, number) for number, at in enumerate(heard, start=1)]
        self._write("ledger", "collector", "client", records)
        lines = (record_line(number, boot, receipt) for _, number, _, receipt, _ in records)
        (self.opened / LEDGER).write_bytes(b"".join(lines))
        site = {"/index.html": "0" * 64}
        examined = {"fsck": {"code": 0, "text": "clean"}, "site": site, "expected": site}
        (self.opened / VOLUME).write_text(json.dumps(examined), encoding="utf-8")
        moved = self.times.resume or self.times.end
        self._write("frame", "frames", "fabric", (
            (at, at + TICK, node, 0 if self._out(at) or (at >= moved) != (node == self.spec.destination) else 50)
            for at in self._ticks() for node in (self.spec.source, self.spec.destination)
        ))  # fmt: skip

    def _facts(self) -> TrialFacts:
        spec, script = self.spec, self.script
        lost, early = script.failure == "source-killed", self.times.stop is None
        whole = {True: "pass", False: "fail"}[script.whole]
        return TrialFacts(
            number=spec.number,
            block=spec.block,
            factors=spec.factors,
            source=spec.source,
            destination=spec.destination,
            instance=self.instance,
            migration=self.migration,
            status={None: "ok", "not-converged": "not-converged"}.get(script.failure, "failed"),
            reason=_REASONS.get(script.failure or ""),
            plan=self.plan.base_units(),
            proof={
                "place": {"verdict": "pass", "evidence": f"running on {spec.source if early else spec.destination}"},
                "incarnation": {"verdict": "unknown" if lost else "pass", "evidence": f"boot id boot-{spec.number}"},
                "panic": {"verdict": "pass", "evidence": "no kernel panic on the serial console"},
                "heartbeat": {"verdict": "fail" if lost else "pass", "evidence": "lines on its console"},
                "memory": {"verdict": "unknown" if lost else whole, "evidence": "0 of 1024 pages bad, 900 rewritten"},
                "site": {"verdict": "unknown" if lost else "pass", "evidence": "1 file as the website was built with"},
            },
            settings={
                host: {
                    "capabilities": {"events": True, "auto-converge": False, "xbzrle": False, "multifd": False},
                    "parameters": {"downtime-limit": round(1000 * spec.factors.downtime_limit_s), "max-bandwidth": 0},
                }
                for host in (spec.source, spec.destination)
            }
            | {
                "links": {link: spec.factors.link_bps if link == "migration" else None for link in LINKS},
            },
            facts={"lab": "fake", "accelerator": "none", "qemu": "none"},
        )


_REASONS = {
    "destination-died": "the QEMU on the destination ended in pre-copy",
    "source-killed": "the QEMU on the source was killed after STOP",
    "not-converged": "not converged within the plan's limit, cancelled",
}
