"""What the lines of a watched run say, and in which order."""

from dataclasses import replace

import pytest
from faketrial import PLAN

from migrascope.cli import dashboard
from migrascope.live.eta import Forecast
from migrascope.live.sample import NS, Sample
from migrascope.live.view import Buffer, Migration, Second, View
from migrascope.model.schedule import schedule
from migrascope.study.observation.watch import Status

SPECS = tuple(schedule(PLAN))
SAMPLE = Sample(1.0, "active", 10**9, 250 * 10**6, 0, 0, 0, 2, 12e6, 0.3, 0.25)
MIGRATION = Migration("host-a", "host-b", 1.0, SAMPLE, Forecast(1.0, "ends", 3.0, 2.5, 4.0), 0.3, 1e8)
SECONDS = (Second(0, 500, 0, 0.0003), Second(NS, 500, 5, 0.0004), Second(2 * NS, 0, 0, None))
VIEW = View(
    1, 3 * NS, "migrate", 1.0, 0.0, SECONDS, (("new", SECONDS[:1]),), (Buffer("viewer-1", 0.25, 0.5),), MIGRATION
)  # fmt: skip
STATUS = Status("20260101-000000-aaaa", "website", SPECS, 0, (), SPECS[0], VIEW, "process 7")


def said(view: View = VIEW, width: int = 200, **changes: object) -> list[str]:
    status = replace(STATUS, view=view, **changes)  # type: ignore[arg-type]
    return [line.plain for line in dashboard.lines(status, width)]


def migrating(**changes: object) -> str:
    return "\n".join(said(replace(VIEW, migration=replace(MIGRATION, **changes))))  # type: ignore[arg-type]


def test_the_most_important_lines_come_first() -> None:
    found = said()
    assert found[0] == "website · 0 of 4 trials finished · 20260101-000000-aaaa"
    assert found[1] == "trial 1 · migrate 1.0 s · waits for the end of the migration · relay"
    assert found[2] == "host-a → host-b 1.0 s · ends in 2.0 s (1.5–3.0 s)"
    assert found[3] == "round 2 · 250 MB left of 1.00 GB · dirty rate 12.0 MB/s"
    assert found[4] == "link 800 Mbit/s · throttle 30 % · pause expected 250 ms of 300 ms"
    assert found[5] == "ping          400 µs   0.50 % lost  ▂× "
    assert found[7] == "player  viewer-1 ████░░░░ 0.2 of 0.5 s"


@pytest.mark.parametrize("width", [1, 5, 20, 80])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_no_line_is_wider_than_the_terminal(width: int, ascii_only: bool) -> None:
    found = dashboard.lines(STATUS, width, ascii_only=ascii_only)
    assert max(line.cell_len for line in found) <= width
    assert not ascii_only or all(line.plain.isascii() for line in found)


def test_what_will_not_end_says_why() -> None:
    never = Forecast(1.0, "never", why="its rounds leave more")
    assert "will not converge: its rounds leave more" in migrating(forecast=never)
    late = Forecast(1.0, "late", 20.0, 18.0, None, "it is cancelled after 15.0 s")
    assert "will not end in time: it is cancelled after 15.0 s, it would take 19.0 s more" in migrating(forecast=late)
    unknown = Forecast(1.0, why="nothing has been sent yet")
    assert "end unknown: nothing has been sent yet" in migrating(forecast=unknown)


def test_an_end_that_was_moved_says_why() -> None:
    moved = replace(MIGRATION.forecast, why="slower: 50 MB/s instead of 100 MB/s")
    assert "end moved: slower: 50 MB/s instead of 100 MB/s" in migrating(forecast=moved)


def test_a_guest_that_stands_still_is_named() -> None:
    assert "the guest stands still for 200 ms" in migrating(paused_s=0.2)
    assert "the guest stood still for 200 ms, runs on host-b" in migrating(paused_s=0.2, moved=True)


def test_a_migration_that_is_over_has_its_outcome() -> None:
    found = migrating(outcome="completed")
    assert "host-b 1.0 s · completed" in found
    assert "ends in" not in found
    assert "2 rounds · " in found


def test_what_nobody_counts_is_unknown() -> None:
    found = migrating(sample=None, link_Bps=None)
    assert "nothing counted yet · link unknown" in found
    nova = replace(SAMPLE, rounds=None, dirty_Bps=None, expected_downtime_s=None)
    assert "active · 250 MB left of 1.00 GB · dirty rate unknown" in migrating(sample=nova)


def test_before_the_request_the_way_is_named_and_of_a_fleet_its_size() -> None:
    quiet = replace(VIEW, migration=None)
    assert said(quiet)[2] == f"{SPECS[0].source} → {SPECS[0].destination}: not asked for yet"
    fleet = replace(SPECS[0], factors=replace(SPECS[0].factors, instances=4))
    assert said(quiet, spec=fleet)[2] == "4 instances: their migrations are in the report"


def test_silence_and_a_kill_are_told() -> None:
    quiet = replace(VIEW, quiet_s=12.0)
    assert "nothing written for 12 s" in said(quiet)[1]
    assert "nothing written for 12 s" in said(quiet, width=80)[1]
    assert said(quiet, width=20)[0] == "0/4 silent"
    killed = said(quiet, writer=None)
    assert killed[1] == "nobody runs it any more: migrascope run --resume 20260101-000000-aaaa"
    assert "nothing written" not in "\n".join(killed)


def test_between_trials_the_next_is_waited_for() -> None:
    assert said(spec=None)[1] == "the next trial is waited for"
    assert said(spec=None, over=True, writer="process 7")[1] == "no trial runs"


def test_files_that_cannot_be_read_are_named() -> None:
    broken = replace(VIEW, broken=("visit@visitors.jsonl: no\x1b[31m JSON",))
    assert said(broken)[-1] == "cannot be read: visit@visitors.jsonl: no\ufffd[31m JSON"


def test_a_narrow_terminal_has_what_matters_in_its_first_lines() -> None:
    assert said(width=20)[:2] == ["0/4 migrate", "ends in 2.0 s"]
    never = replace(MIGRATION, forecast=Forecast(1.0, "never", why="its rounds leave more"))
    assert said(replace(VIEW, migration=never), width=20)[1] == "no convergence"
    unknown = replace(MIGRATION, forecast=Forecast(1.0, why="nothing has been sent yet"))
    assert said(replace(VIEW, migration=unknown), width=20)[1] == "end unknown"
    done = replace(MIGRATION, outcome="completed")
    assert said(replace(VIEW, migration=done), width=20)[1] == "completed 1.0 s"
    assert said(width=20, writer=None)[0] == "0/4 killed"
    assert said(replace(VIEW, migration=None), width=20)[0] == "0/4 migrate"
