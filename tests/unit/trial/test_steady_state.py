"""The wait for a steady state, against spools of scripted probes and visitors."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from migrascope.model.clock import mono_ns
from migrascope.model.plan import Plan
from migrascope.model.steady import NS
from migrascope.store.spool import Spool
from migrascope.trial.agent_client import AgentClient
from migrascope.trial.steady_state import NotSteady, Overloaded, SteadyState

MS = NS // 1000
RATE = 20
PLAN: dict[str, Any] = {
    "probes": {"echo_rate": 50},
    "visitors": {"new_rate": RATE, "kept_rate": 0},
    "verdict": {"ledger": 0},
}


class Guest:
    """A guest whose processor is idle for so large a part of each second, the last one on and on."""

    def __init__(self, *idle: float) -> None:
        self.uptime, self.idle, self.parts = 10.0, 5.0, [*(idle or (0.5,))]

    async def ask(self, path: str, **_: object) -> dict[str, float]:
        self.uptime += 1.0
        self.idle += self.parts.pop(0) if len(self.parts) > 1 else self.parts[0]
        return {"uptime_s": self.uptime, "idle_s": self.idle, "cpus": 1}


def steady(
    folder: Path,
    said: list[str],
    guest: Guest | None = None,
    *,
    loaded: bool = False,
    before: str = "1s",
    limit: str = "500ms",
) -> SteadyState:
    plan = Plan.model_validate({**PLAN, "windows": {"before": before, "steady_limit": limit}})
    return SteadyState(folder, plan, cast(AgentClient, guest or Guest()), [], said.append, loaded=loaded)


class Observed:
    """Probes and visitors that have written for so long and go on: `alive` writes what has come since."""

    def __init__(self, folder: Path, *, took_ns: int, probes: bool = True, for_s: int = 12) -> None:
        self.took_ns, self.probes = took_ns, probes
        self.start, self.written = mono_ns() - for_s * NS, {"echo": 0, "visit": 0}
        tables = {"echo_sent": "echo", "echo_reply": "echo", "visit": "visitors"}
        spools = [Spool(folder, table, source=source, host="client") for table, source in tables.items()]
        self.sent, self.replies, self.visits = spools
        self.alive()

    def _dues(self, what: str, rate: float) -> Iterator[tuple[int, int]]:
        while (due := self.start + round(self.written[what] * NS / rate)) <= mono_ns():
            yield self.written[what], due
            self.written[what] += 1

    def alive(self) -> None:
        if self.probes:
            rows = [(seq, due, due) for seq, due in self._dues("echo", 50)]
            self.sent.add_all(rows)
            self.replies.add_all(rows)
        for seq, due in self._dues("visit", RATE):
            done = due + self.took_ns if self.took_ns >= 0 else 0
            self.visits.add("new", seq, due, due, due, done, done, 200, 9, 1, "" if done else "not served")
        for spool in (self.sent, self.replies, self.visits):
            spool.flush()


async def test_a_migration_may_be_asked_for_when_a_whole_window_was_steady(tmp_path: Path) -> None:
    observed = Observed(tmp_path, took_ns=5 * MS)
    state = steady(tmp_path, [])
    since = await state.wait(observed.alive)
    assert 1.0 <= (mono_ns() - since) / NS < 10
    state.close()
    rows = (tmp_path / "guest_load@engine.jsonl").read_text().splitlines()
    assert len(rows) >= 3  # the header, and two counts at least
    assert state.busy() == pytest.approx(0.5)


async def test_asked_again_it_waits_for_a_window_that_begins_then(tmp_path: Path) -> None:
    observed, state = Observed(tmp_path, took_ns=5 * MS), steady(tmp_path, [])
    await state.wait(observed.alive)
    again = mono_ns()
    assert await state.wait(observed.alive) >= again


async def test_a_guest_that_does_not_catch_up_is_given_up_with_what_it_serves(tmp_path: Path) -> None:
    observed = Observed(tmp_path, took_ns=-1)
    with pytest.raises(Overloaded, match=f"this machine serves 0 visits/s, the plan asks for {RATE}"):
        await steady(tmp_path, []).wait(observed.alive)


async def test_late_visits_are_the_machines_and_missing_probes_are_not(tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "late").mkdir()
    late = Observed(tmp_path / "late", took_ns=300 * MS)
    with pytest.raises(Overloaded, match=r"too busy to be steady in 0\.5 s: visitors: 0 % of visits in time \(new\)"):
        await steady(tmp_path / "late", said).wait(late.alive)
    assert any("guest's processor 50 %" in words for words in said)
    (tmp_path / "silent").mkdir()
    silent = Observed(tmp_path / "silent", took_ns=5 * MS, probes=False)
    with pytest.raises(NotSteady, match=r"not steady in 0\.5 s: probes: 0 of 50 probes sent"):
        await steady(tmp_path / "silent", []).wait(silent.alive)


async def test_under_a_declared_load_late_answers_are_steady(tmp_path: Path) -> None:
    observed = Observed(tmp_path, took_ns=300 * MS)
    assert await steady(tmp_path, [], loaded=True).wait(observed.alive) > 0


async def test_what_dies_meanwhile_ends_the_wait(tmp_path: Path) -> None:
    def died() -> None:
        raise OSError("echo has ended")

    with pytest.raises(OSError, match="echo has ended"):
        await steady(tmp_path, []).wait(died)


async def test_a_guest_that_has_just_booted_settles_first(tmp_path: Path) -> None:
    observed, said = Observed(tmp_path, took_ns=5 * MS, for_s=0), list[str]()
    state = steady(tmp_path, said, Guest(0.5, 0.2, 0.6), before="2s", limit="30s")
    began = mono_ns()
    since = await state.wait(observed.alive)
    assert any("guest: its processor settles: 80 %, then 40 %" in words for words in said), said
    assert since > began + NS // 2


async def test_one_that_boots_for_longer_than_a_window_is_waited_for(tmp_path: Path) -> None:
    observed, said = Observed(tmp_path, took_ns=5 * MS, for_s=0), list[str]()
    state = steady(tmp_path, said, Guest(*5 * [0.0], 0.5), before="2s", limit="30s")
    began = mono_ns()
    since = await state.wait(observed.alive)
    assert any("guest: its processor is saturated: 100 %" in words for words in said), said
    assert since > began + 3 * NS


@pytest.mark.parametrize(
    "guest", [Guest(0.5, *(min(0.9, 0.1 + 0.2 * at) for at in range(5))), Guest(0.1)], ids=["ever less", "saturated"]
)
async def test_one_that_never_settles_is_migrated_at_the_limit(tmp_path: Path, guest: Guest) -> None:
    observed = Observed(tmp_path, took_ns=5 * MS, for_s=0)
    assert await steady(tmp_path, [], guest, before="2s").wait(observed.alive) > 0
