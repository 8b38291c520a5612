"""The screen of a run that is watched: replayed, beside a run that is written, small, and where nothing is right."""

import asyncio
import fcntl
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faketrial import light
from textual.widgets import DataTable, Static

from fakerun import MANIFEST, fake_run
from migrascope.cli.screen import ReplayApp, WatchApp
from migrascope.model.plan import Plan
from migrascope.model.schedule import schedule
from migrascope.store.runfolder import LOCK, RunError, RunFolder
from migrascope.study.labs.fake import FakeTrials
from migrascope.study.observation.watch import Afterwards, Beside, Status, watch_of
from migrascope.study.plans import text_of

NS = 1_000_000_000
PLAN = light(blocks=2, axes={"scenario": ["none", "online"]}, visitors={"new_rate": 5, "kept_rate": 5, "viewers": 1})
SIZES = [(80, 24), (20, 5), (200, 60), (1, 1)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return fake_run(tmp_path_factory.mktemp("runs"), PLAN)


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.ns = 0

    def __call__(self) -> int:
        return self.ns


def text(screen: WatchApp) -> str:
    return str(screen.query_one("#now", Static).render())


async def looked(screen: WatchApp, pilot: Any, condition: Callable[[Status], bool]) -> Status:
    """Looks until it is so."""
    async with asyncio.timeout(30):
        while screen.status is None or not condition(screen.status):
            screen.look()
            await pilot.pause(0.01)
    assert screen.status is not None
    return screen.status


@pytest.mark.parametrize("ascii_only", [False, True])
@pytest.mark.parametrize("size", SIZES)
async def test_a_replay_is_shown_at_any_size(run: RunFolder, size: tuple[int, int], ascii_only: bool) -> None:
    screen = ReplayApp(Afterwards(run, 2), ascii_only=ascii_only)
    async with screen.run_test(size=size) as pilot:
        await pilot.press("e")
        await looked(screen, pilot, lambda status: status.over and len(status.finished) == 4)
        shown = text(screen)
        assert max(map(len, shown.split("\n"))) <= size[0]
        assert not ascii_only or shown.isascii()
        if size[0] >= 80:
            assert "trial 2" in shown
            assert "completed" in shown
            assert screen.query_one("#finished", DataTable).row_count == 4


async def test_a_terminal_that_is_resized_is_drawn_anew(run: RunFolder) -> None:
    screen = ReplayApp(Afterwards(run))
    async with screen.run_test(size=(80, 24)) as pilot:
        await looked(screen, pilot, lambda status: status.view is not None)
        for width, height in [(20, 5), (3, 2), (120, 40)]:
            await pilot.resize_terminal(width, height)
            await pilot.pause()
            assert max(map(len, text(screen).split("\n"))) <= width


async def test_keys_move_a_replay(run: RunFolder) -> None:
    clock = Clock()
    screen = ReplayApp(Afterwards(run, 1, now=clock))
    async with screen.run_test(size=(100, 30)) as pilot:
        await looked(screen, pilot, lambda status: status.view is not None and status.view.number == 1)
        await pilot.press("p")
        await looked(screen, pilot, lambda status: status.view is not None and status.view.number == 1)
        await pilot.press("n", "n")
        await looked(screen, pilot, lambda status: status.view is not None and status.view.number == 3)
        clock.ns += 2 * NS
        first = await looked(screen, pilot, lambda status: status.view is not None and status.view.phase == "arrange")
        assert first.view is not None
        await pilot.press("space")
        clock.ns += 60 * NS
        second = await looked(screen, pilot, lambda status: status.view is not None)
        assert second.view is not None
        assert second.view.now_ns <= first.view.now_ns + 2 * NS
        assert not second.over
        await pilot.press("space")
        clock.ns += 60 * NS
        await looked(screen, pilot, lambda status: status.over)
        await pilot.press("q")
    assert screen.problem is None


async def test_beside_a_run_the_trial_is_followed_and_closing_takes_nothing(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path, text_of(PLAN), MANIFEST)
    trials, specs = FakeTrials(PLAN), schedule(PLAN)
    with (run.path / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        screen = WatchApp(Beside(run))
        async with screen.run_test(size=(80, 24)) as pilot:
            await looked(screen, pilot, lambda status: status.view is None)
            assert "the next trial is waited for" in text(screen)
            opened = run.open_trial(1)
            facts = await trials.run(specs[0], opened)
            status = await looked(screen, pilot, lambda status: status.view is not None and bool(status.view.over))
            assert status.writer is not None
            assert not status.over
            run.seal_trial(opened, facts)
            await looked(screen, pilot, lambda status: len(status.finished) == 1)
            opened = run.open_trial(2)
            facts = await trials.run(specs[1], opened)
            await looked(screen, pilot, lambda status: status.view is not None and status.view.number == 2)
            await pilot.press("q")
        assert run.running() == 2
        run.seal_trial(opened, facts)
    assert run.finished() == {1, 2}


async def test_it_leaves_with_the_run_where_it_should(run: RunFolder) -> None:
    screen = WatchApp(Beside(run), leave=True)
    async with screen.run_test() as pilot:
        async with asyncio.timeout(30):
            while screen.is_running and screen.status is None:
                await pilot.pause(0.01)
    assert screen.status is not None
    assert screen.status.over


async def test_what_cannot_be_read_closes_it_with_its_reason() -> None:
    class Broken:
        def look(self) -> Status:
            raise RunError("the folder is gone")

    screen = WatchApp(Broken())
    async with screen.run_test() as pilot:
        async with asyncio.timeout(30):
            while screen.problem is None:
                await pilot.pause(0.01)
    assert str(screen.problem) == "the folder is gone"


def unfinished(folder: Path, plan: Plan = PLAN) -> RunFolder:
    """A run that was killed in its second trial."""
    run = RunFolder.create(folder, text_of(plan), MANIFEST)
    trials = FakeTrials(plan)
    first, second, *_ = schedule(plan)
    run.seal_trial(opened := run.open_trial(1), trials.run_now(first, opened))
    trials.run_now(second, run.open_trial(2))
    return run


def test_a_run_that_was_killed_says_so_and_how_to_go_on(tmp_path: Path) -> None:
    run, clock = unfinished(tmp_path), Clock()
    watched = watch_of(run)
    assert isinstance(watched, Beside)
    watched = Beside(run, clock)
    status = watched.look()
    assert status.killed
    assert status.view is not None
    assert status.view.quiet_s == 0.0
    assert not status.over
    clock.ns += 10 * NS
    assert watched.look().over


def test_a_trial_of_an_unfinished_run_can_be_replayed(tmp_path: Path) -> None:
    run = unfinished(tmp_path)
    assert isinstance(watch_of(run, 1), Afterwards)
    with pytest.raises(RunError, match=re.escape("has no finished trial 2; there are: 1")):
        watch_of(run, 2)


def test_a_run_without_a_trial_has_nothing_to_replay(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no finished trial to replay"):
        watch_of(RunFolder.create(tmp_path, text_of(PLAN), MANIFEST))


def test_a_damaged_trial_is_told_and_costs_the_others_nothing(tmp_path: Path) -> None:
    run = fake_run(tmp_path, light(blocks=1, axes={"scenario": ["none", "online"]}))
    (run.trial(1) / "trial.json").write_text("{")
    watched = Afterwards(run, 2)
    while len((status := watched.look()).finished) < 2:
        pass
    finished = {item.number: item for item in status.finished}
    assert finished[1].status == "damaged"
    assert finished[1].time_s is None
    assert finished[2].status == "ok"
