"""Healthy recordings for the checker, made with a random seed: what the witnesses of a migration that lost nothing
leave. Rows differ in number, spacing and order as real ones do."""

import random
from typing import Any

from migrascope.metrics.verdict.hosts import Frames, State
from migrascope.metrics.verdict.judge import Evidence
from migrascope.metrics.verdict.ledger import Arrival
from migrascope.metrics.verdict.liveness import Answer
from migrascope.metrics.verdict.service import Visit
from migrascope.metrics.verdict.spans import NS, Times
from migrascope.model.postcheck import PostCheck
from migrascope.model.witness import RECORD_BYTES, chained, record_line

MS = NS // 1000
CHECKS = ("incarnation", "panic", "heartbeat", "memory", "site")
PASSED = {name: PostCheck("pass", "seen") for name in CHECKS}
EXAMINED: dict[str, Any] = {"fsck": {"code": 0, "text": "clean"}, "site": {"/a": "1"}, "expected": {"/a": "1"}}


class History:
    """One healthy trial: the guest is silent from `stop` to `back`, and runs on the other host from `resume` on."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        draw = self.chance.uniform
        self.request = round(draw(3, 6) * NS)
        self.stop = self.request + round(draw(0.5, 3) * NS)
        self.resume = self.stop + round(draw(0.02, 0.6) * NS)
        self.back = self.resume + round(draw(0.005, 0.4) * NS)
        self.over = max(self.back, self.resume) + round(draw(0, 0.5) * NS)
        self.end = self.over + round(draw(3, 6) * NS)
        self.hosts = self.chance.sample(["host-a", "host-b"], 2)

    def _ticks(self, every_ms: float) -> list[int]:
        """Stamps of a grid, each a little late."""
        begin = self.chance.randrange(round(every_ms * MS))
        return [at + self.chance.randrange(3 * MS) for at in range(begin, self.end, round(every_ms * MS))]

    def _served(self, at: int) -> int | None:
        """When the guest has a packet that was sent at a time: late or never where it is silent."""
        if not self.stop <= at < self.back:
            return at + self.chance.randrange(100_000, 3 * MS)
        return self.back + self.chance.randrange(9 * MS) if self.chance.random() < 0.3 else None

    def answers(self) -> list[Answer]:
        """The probe hears a few answers not at all, in the blackout more: the guest has counted some of these."""
        came = []
        for at in self._ticks(100):
            served = self._served(at)
            if served is not None and self.chance.random() > 0.01:
                came.append((served, at))
        rows, last = [], "00000000"
        for counter, (served, asked) in enumerate(sorted(came), start=1):
            last = chained(last, f"id{asked}")
            if self.chance.random() > 0.01:
                rows.append(Answer(asked, served + MS, f"id{asked}", "boot", counter, last))
        return sorted(rows, key=lambda row: row.answered_ns)

    def ledger(self) -> tuple[list[Arrival], bytes]:
        """Records come again where no receipt came in time; the guest takes any receipt of the record."""
        rows: list[Arrival] = []
        lines, at, receipt, given = [], self.chance.randrange(200 * MS), 0, 0
        number = 0
        while at < self.end - 500 * MS:
            number += 1
            lines.append(record_line(number, "b" * 32, receipt))
            receipts: list[int] = []
            while not receipts or self.chance.random() < 0.04:
                served = at + self.chance.randrange(100_000, 2 * MS)
                if self.stop <= at < self.back:
                    at, served = self.back, self.back + self.chance.randrange(100_000, 2 * MS)
                given += 1
                rows.append(Arrival(served, number, "b" * 32, receipt, given))
                receipts.append(given)
                at = served + (200 * MS if len(receipts) > 1 else MS)
            receipt = self.chance.choice(receipts)
            at += 200 * MS
        if self.chance.random() < 0.5:
            lines.append(record_line(number + 1, "b" * 32, receipt)[: self.chance.choice([RECORD_BYTES, 17])])
        return rows, b"".join(lines) + bytes(RECORD_BYTES * self.chance.randrange(3))

    def states(self) -> dict[str, list[State]]:
        source, destination = self.hosts
        rows: dict[str, list[State]] = {source: [], destination: []}
        for at in self._ticks(100):
            silent = self.chance.random() < 0.004 and at < self.end - 500 * MS
            rows[source].append(State(at, 0 if silent else at + MS, "" if silent else self._source(at)))
            rows[destination].append(State(at, at + MS, "running" if at >= self.resume else "inmigrate"))
        return rows

    def _source(self, at: int) -> str:
        return "running" if at < self.stop else "finish-migrate" if at < self.over else "postmigrate"

    def frames(self) -> list[Frames]:
        rows = []
        for at in self._ticks(50):
            for node, sends in zip(self.hosts, (at < self.stop, at >= self.resume), strict=True):
                rows.append(Frames(at, at + 50 * MS, node, self.chance.randrange(1, 90) if sends else 0))
        return rows

    def visits(self) -> list[Visit]:
        served = [(at, self._served(at)) for at in self._ticks(self.chance.choice([20, 100, 250]))]
        return [Visit(due, 0 if at is None or self.chance.random() < 0.01 else at + 5 * MS) for due, at in served]

    def evidence(self) -> Evidence:
        """All that a recording of it holds."""
        arrivals, content = self.ledger()
        events = {self.hosts[0]: [self.stop], self.hosts[1]: [self.resume]}
        return Evidence(
            times=Times(self.request, self.over),
            outage_s=3.0,
            arrivals=arrivals,
            content=content,
            answers=self.answers(),
            samples=dict(self.states()),
            changes={host: stamps for host, stamps in events.items() if self.chance.random() < 0.9},
            frames=self.frames(),
            visits=self.visits(),
            proof=PASSED,
            examined=EXAMINED,
        )
