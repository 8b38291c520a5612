"""What a view shows of a trial: while it is written, and replayed from its recording."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from faketrial import FACTORS, PLAN, SCRIPT, light

from migrascope.lab.fake.script import Script
from migrascope.live.experience import NOTHING
from migrascope.live.playing import Viewer
from migrascope.live.replay import Replay, written_ns
from migrascope.live.sample import NS
from migrascope.live.seconds import WINDOW_S, Seconds
from migrascope.live.seen import TABLES, Seen
from migrascope.live.terms import Terms
from migrascope.live.view import View
from migrascope.model.plan import Plan
from migrascope.model.schedule import TrialSpec
from migrascope.store.following import News, Row, TrialFollower
from migrascope.store.runfolder import RunFolder
from migrascope.study.labs.fake import FakeTrials
from migrascope.study.plans import text_of

SPEC = TrialSpec(1, 1, FACTORS, "host-a", "host-b")
TERMS = Terms(0.3, 60.0, link_Bps=1.25e8)


@dataclass(frozen=True)
class Times:
    """When a trial began, asked for its migration, stopped the guest, resumed it, and ended (mono ns)."""

    start: int
    request: int
    stop: int | None
    resume: int | None
    end: int

    @classmethod
    def of(cls, news: News) -> "Times":
        """By its events and those of both QEMUs."""
        at = {event.name: event.mono_ns for event in news.events}
        qemu = {row.values[0]: row.values[2] for row in news.rows["qmp_event"]}
        return cls(at["trial_start"], at["migrate_request"], qemu.get("STOP"), qemu.get("RESUME"), at["trial_end"])


def seen() -> Seen:
    return Seen(1, TERMS, lambda _: NOTHING, 0.5)


def sealed(folder: Path, script: Script = SCRIPT, plan: Plan = PLAN) -> News:
    """Everything that a trial of that script wrote."""
    run = RunFolder.create(folder, text_of(plan), {})
    opened = run.open_trial(1)
    run.seal_trial(opened, FakeTrials(plan, lambda _: script).run_now(SPEC, opened))
    return TrialFollower(run.path, 1, TABLES).news()


def at(news: News, now_ns: int, step_ns: int = NS // 4) -> View:
    """The view at that stamp, by one who looked all the time."""
    item, replay = seen(), Replay(news)
    for stamp in range(replay.begin_ns, now_ns, step_ns):
        item.take(replay.news(stamp))
        item.view(stamp)
    item.take(replay.news(now_ns))
    return item.view(now_ns)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[News, Times]:
    news = sealed(tmp_path_factory.mktemp("trial"))
    return news, Times.of(news)


def test_before_anything_the_trial_is_waited_for() -> None:
    view = seen().view(5 * NS)
    assert view == View(1, 5 * NS)
    assert view.waits_for == "the trial to begin"


def test_before_the_migration_all_is_answered(whole: tuple[News, Times]) -> None:
    news, times = whole
    view = at(news, times.request - NS)
    assert view.phase == "before"
    assert view.waits_for == "the end of the window before the migration"
    assert view.migration is None
    assert all(second.lost == 0 for second in view.pings)
    assert [second.asked for second in view.pings[1:-1]] == [500] * (len(view.pings) - 2)
    assert view.pings[1].typical_s == pytest.approx(SCRIPT.quiet_rtt_s, abs=1e-3)
    assert {kind for kind, _ in view.visits} == {"new", "kept"}
    assert [buffer.level_s for buffer in view.buffers] == [0.5] * len(view.buffers)
    assert view.buffers


def test_of_a_dual_stack_trial_ipv4_is_shown(tmp_path: Path) -> None:
    plan = PLAN.model_copy(update={"families": ["ipv4", "ipv6"]})
    news = sealed(tmp_path, replace(SCRIPT, later_over_ipv6_s=0.3), plan)
    view = at(news, Times.of(news).request - NS)
    assert [second.asked for second in view.pings[1:-1]] == [500] * (len(view.pings) - 2)
    assert all(second.lost == 0 for second in view.pings)


def test_while_it_migrates_the_rounds_are_there(whole: tuple[News, Times]) -> None:
    news, times = whole
    view = at(news, times.request + NS)
    assert view.phase == "migrate"
    assert view.migration is not None
    assert view.migration.at_s == pytest.approx(1.0)
    assert view.migration.sample is not None
    assert view.migration.sample.remaining >= 0
    assert view.migration.link_Bps is not None
    assert view.migration.limit_s == 0.3
    assert view.migration.outcome == ""
    assert view.migration.paused_s is None


def test_a_guest_that_stands_still_is_lost_to_all(whole: tuple[News, Times]) -> None:
    news, times = whole
    assert times.stop is not None
    assert times.resume is not None
    view = at(news, (times.stop + times.resume) // 2)
    assert view.migration is not None
    assert view.migration.paused_s == pytest.approx((times.resume - times.stop) / 2 / NS, abs=0.01)
    assert not view.migration.moved


def test_afterwards_the_pause_and_the_time_stand(whole: tuple[News, Times]) -> None:
    news, times = whole
    view = at(news, times.end)
    assert view.over == "ok"
    assert view.waits_for == ""
    assert view.buffers == ()
    assert view.migration is not None
    assert view.migration.moved
    assert view.migration.outcome == "completed"
    assert times.resume is not None
    assert times.stop is not None
    assert view.migration.paused_s == pytest.approx((times.resume - times.stop) / NS, abs=0.01)
    assert sum(second.lost for second in view.pings) == pytest.approx(SCRIPT.lost_s * 500, abs=3)


def test_a_player_whose_media_are_held_back_runs_empty(tmp_path: Path) -> None:
    news = sealed(tmp_path, replace(SCRIPT, hold_s=3.0))
    times = Times.of(news)
    assert times.stop is not None
    levels = [
        buffer.level_s
        for stamp in range(times.stop, times.stop + 4 * NS, NS // 2)
        for buffer in at(news, stamp).buffers
    ]
    assert min(levels) == 0.0
    assert max(levels) == 0.5


def test_one_that_failed_says_why(tmp_path: Path) -> None:
    script = replace(SCRIPT, failure="not-converged")
    news = sealed(tmp_path, script, light())
    view = at(news, Times.of(news).end, NS)
    assert view.migration is not None
    assert view.migration.outcome == "still active after 60 s; cancelled"
    assert view.over.startswith("not-converged: ")


def test_followed_and_replayed_the_end_is_the_same(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path, text_of(PLAN), {})
    opened = run.open_trial(1)
    facts = FakeTrials(PLAN).run_now(SPEC, opened)
    followed, replayed = seen(), seen()
    follower = TrialFollower(run.path, 1, TABLES)
    followed.take(follower.news())
    run.seal_trial(opened, facts)
    followed.take(follower.news())  # all of it was in the spools already
    news = TrialFollower(run.path, 1, TABLES).news()
    replayed.take(news)
    end_ns = Replay(news).end_ns
    assert followed.view(end_ns) == replayed.view(end_ns)


def test_another_attempt_begins_from_nothing(whole: tuple[News, Times]) -> None:
    news, times = whole
    item = seen()
    item.take(news)
    item.take(News(news.events[:1], again=True))
    view = item.view(times.start)
    assert (view.pings, view.visits, view.buffers, view.migration) == ((), (), (), None)


def test_a_replay_gives_each_row_once(whole: tuple[News, Times]) -> None:
    news, _ = whole
    replay = Replay(news)
    looks = [replay.news(stamp) for stamp in range(replay.begin_ns, replay.end_ns + NS, NS)]
    assert sum((look.events for look in looks), ()) == news.events
    for table, rows in news.rows.items():
        given = [row for look in looks for row in look.rows.get(table, [])]
        assert sorted(given, key=repr) == sorted(rows, key=repr)


def test_a_row_is_not_given_before_its_last_stamp() -> None:
    visit = ("new", 1, 100, 110, 120, 130, 140, 200, 5, 1, "")
    assert written_ns("visit", visit) == 140
    assert written_ns("echo_reply", (1, 10**18, 70)) == 70


def test_of_several_instances_no_migration_is_shown(whole: tuple[News, Times]) -> None:
    news, times = whole
    item = Seen(1, TERMS, lambda _: NOTHING, 0.5, alone=False)
    item.take(news)
    view = item.view(times.end)
    assert view.migration is None
    assert view.over == "ok"


def test_silence_is_counted(whole: tuple[News, Times]) -> None:
    news, _ = whole
    item = seen()
    item.take(news)
    assert item.view(item.newest_ns + 30 * NS).quiet_s == pytest.approx(30.0)


def test_what_cannot_be_read_is_told() -> None:
    item = seen()
    item.take(News(broken={"visit@visitors.jsonl": "no JSON"}))
    assert item.view(0).broken == ("visit@visitors.jsonl: no JSON",)


def test_seconds_forget_what_is_older_than_a_minute() -> None:
    seconds = Seconds()
    for number in range(200):
        seconds.ask(number, number * NS)
        seconds.answer(number, number * NS + NS // 1000)
    found = seconds.seconds(199 * NS)
    assert len(found) == WINDOW_S
    assert found[0].at_ns == (199 - WINDOW_S + 1) * NS
    assert found[-1].typical_s == pytest.approx(0.001)
    seconds.answer(3, 300 * NS)
    assert seconds.seconds(199 * NS) == found


def test_an_answer_that_comes_late_is_no_loss_any_more() -> None:
    seconds = Seconds()
    seconds.ask(1, 0)
    assert seconds.seconds(NS // 4)[0].lost == 0
    assert seconds.seconds(NS)[0].lost == 1
    seconds.answer(1, 2 * NS)
    assert seconds.seconds(2 * NS)[0].lost == 0


def test_a_viewer_without_media_has_no_level() -> None:
    viewer = Viewer()
    assert viewer.level_s(NS, 2.0) is None
    viewer.take(0.0, 1.0, 10 * NS, quiet=True)
    assert viewer.level_s(10 * NS, 2.0) == 2.0
    assert viewer.level_s(12 * NS, 2.0) == 1.0
    assert viewer.level_s(90 * NS, 2.0) == 0.0


def nova(at_ns: int, left: int) -> Row:
    text = (
        f'[{{"memory_total_bytes": 1000, "memory_processed_bytes": {1000 - left}, "memory_remaining_bytes": {left}}}]'
    )
    return Row("nova", "", (at_ns, at_ns, "running", text, ""))


def libvirt(at_ns: int, left: int) -> Row:
    job = {"operation": 5, "type": 2, "memory_total": 1000, "memory_remaining": left, "memory_iteration": 1}
    return Row("libvirt", "host-a", (at_ns, at_ns, "running", json.dumps(job)))


def test_the_closest_to_the_hypervisor_is_believed(whole: tuple[News, Times]) -> None:
    news, times = whole
    request = [event for event in news.events if event.mono_ns <= times.request]
    rows: dict[str, Any] = {"api": [nova(times.request + NS, 900)]}
    item = seen()
    item.take(News(tuple(request), rows))

    def left() -> int:
        migration = item.view(times.request + 3 * NS).migration
        assert migration is not None
        assert migration.sample is not None
        return migration.sample.remaining

    assert left() == 900
    item.take(News((), {"libvirt_job": [libvirt(times.request + NS, 800)]}))
    assert left() == 800
    item.take(News((), {"api": [nova(times.request + 2 * NS, 700)]}))
    assert left() == 800


def test_rows_that_come_before_their_request_count(whole: tuple[News, Times]) -> None:
    """They come from other processes than the event."""
    news, times = whole
    item = seen()
    item.take(News((), {"libvirt_job": [libvirt(times.request + NS, 800), libvirt(times.request - NS, 1)]}))
    item.take(News(tuple(event for event in news.events if event.mono_ns <= times.request)))
    migration = item.view(times.request + NS).migration
    assert migration is not None
    assert migration.sample is not None
    assert migration.sample.remaining == 800
