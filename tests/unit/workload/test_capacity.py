"""How a guest is tried with one rate after another: the counts of its processor, and its answers, are scripted."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from migrascope.model.load import Tried
from migrascope.store.spool import Spool
from migrascope.workload import capacity
from migrascope.workload.capacity import Count, Outcomes, Trier, busy, find
from migrascope.workload.search import LEAST_TIMES

CONFIG: dict[str, Any] = {"fixed": {}, "part": {"new": 1.0, "kept": 1.0}, "viewers": 2}


def count(at_s: float, uptime_s: float, idle_s: float, cpus: int = 1, hypervisor_s: float | None = None) -> Count:
    return Count(round(at_s * 1e9), uptime_s, idle_s, cpus, hypervisor_s)


def test_a_guest_is_as_busy_as_it_or_its_hypervisor_says() -> None:
    assert busy(count(0, 10, 5), count(2, 12, 6)) == pytest.approx(0.5)
    assert busy(count(0, 10, 5, 2), count(2, 12, 8, 2)) == pytest.approx(0.5)
    assert busy(count(0, 10, 5, 1, 1.0), count(2, 12, 6, 1, 2.6)) == pytest.approx(0.8)
    assert busy(count(0, 10, 5, 1, 1.0), count(2, 12, 6, 1, 1.1)) == pytest.approx(0.5)
    assert busy(count(0, 10, 5), count(2, 10, 5)) is None


class Processor:
    """A guest that used so much of its core at each count; None: its agent is silent."""

    def __init__(self, share: float | None) -> None:
        self.share, self.uptime = share, 0.0

    async def count(self) -> Count | None:
        self.uptime += 1.0
        return None if self.share is None else count(self.uptime, self.uptime, self.uptime * (1 - self.share))


class Guest:
    """Answers visits after a delay, None: never."""

    def __init__(self, folder: Path, delay_s: float | None) -> None:
        self.delay_s, self.started = delay_s, list[tuple[str, int]]()
        self.outcomes = Outcomes(Spool(folder, "visit", source="capacity", host="client"))

    async def visit(self, kind: str, seq: int, due_ns: int) -> None:
        self.started.append((kind, seq))
        await asyncio.sleep(3600 if self.delay_s is None else self.delay_s)
        done = time.monotonic_ns()
        self.outcomes.add(kind, seq, due_ns, due_ns, due_ns, done, done, 200, 9, 1, "")

    def trier(self, share: float | None) -> Trier:
        async def new(seq: int, due_ns: int) -> None:
            await self.visit("new", seq, due_ns)

        async def kept(seq: int, due_ns: int) -> None:
            await self.visit("kept", seq, due_ns)

        return Trier({"new": new, "kept": kept}, CONFIG, Processor(share), self.outcomes)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STEP_S", "WARM_S", "DRAIN_S"):
        monkeypatch.setattr(capacity, name, 0.2)
    monkeypatch.setattr(capacity, "IN_TIME_NS", 400_000_000)


async def test_a_rate_is_asked_for_of_both_kinds(tmp_path: Path) -> None:
    guest = Guest(tmp_path, 0.0)
    tried = await guest.trier(0.3).attempt(50.0)
    assert (tried.rate, tried.in_time, tried.viewers) == (50.0, 1.0, 2)
    assert tried.busy == pytest.approx(0.3)
    assert {kind: sum(text == kind for text, _ in guest.started) for kind in ("new", "kept")} == {"new": 10, "kept": 10}


@pytest.mark.parametrize(("delay_s", "share"), [(None, 0.3), (None, None)])
async def test_a_guest_that_does_not_answer_is_given_up(
    tmp_path: Path, delay_s: float | None, share: float | None
) -> None:
    guest = Guest(tmp_path, delay_s)
    trier, told = guest.trier(share), list[Tried]()
    found = await find(trier, 50.0, 60.0, told.append)
    await trier.end()
    assert found.rate == 0.0
    assert [attempt.in_time for attempt in told] == [0.0] * LEAST_TIMES


async def test_no_rate_is_tried_after_the_limit(tmp_path: Path) -> None:
    told: Sequence[Tried] = []
    found = await find(Guest(tmp_path, 0.0).trier(0.3), 50.0, 0.0, list(told).append)
    assert (found.rate, list(told)) == (0.0, [])


async def test_a_guest_with_room_gets_the_most(tmp_path: Path) -> None:
    told = list[Tried]()
    found = await find(Guest(tmp_path, 0.0).trier(0.1), 40.0, 3600.0, told.append)
    assert found.rate == 40.0
    assert [attempt.rate for attempt in told] == sorted(attempt.rate for attempt in told)
