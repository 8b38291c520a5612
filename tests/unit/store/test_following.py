"""A trial is followed while it is written: each row once, through its sealing, another attempt and a kill."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from faketrial import FACTORS, PLAN, record

from migrascope.model.schedule import TrialSpec
from migrascope.store.events import EventLog
from migrascope.store.following import News, Row, TrialFollower
from migrascope.store.recording import TrialFacts
from migrascope.store.runfolder import RunFolder
from migrascope.store.spool import Spool
from migrascope.study.labs.fake import FakeTrials
from migrascope.study.plans import text_of

TABLES = ("echo_sent", "visit")


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path, text_of(PLAN), {})


def begin(run: RunFolder, number: int = 1) -> tuple[Path, EventLog]:
    opened = run.open_trial(number)
    log = EventLog(opened / "events.ndjson", "engine")
    log.add("trial_start", number=number)
    return opened, log


def sent(opened: Path, source: str = "echo") -> Spool:
    return Spool(opened, "echo_sent", source=source, host="client", flush_s=0.0)


def seqs(news: News) -> list[int]:
    return [row.values[0] for row in news.rows.get("echo_sent", [])]


def facts() -> TrialFacts:
    return TrialFacts(1, 1, FACTORS, "host-a", "host-b", "vm-1", "m-1", "ok", None, {})


def test_what_is_not_there_yet_has_no_news(run: RunFolder) -> None:
    follower = TrialFollower(run.path, 1, TABLES)
    assert follower.news() == News()
    assert run.running() is None


def test_each_look_gives_what_is_new(run: RunFolder) -> None:
    opened, log = begin(run)
    assert run.running() == 1
    follower = TrialFollower(run.path, 1, TABLES)
    with sent(opened) as spool:
        spool.add(0, 10, 11)
        first = follower.news()
        assert [event.name for event in first.events] == ["trial_start"]
        assert first.rows == {"echo_sent": [Row("echo", "client", (0, 10, 11))]}
        spool.add(1, 20, 21)
        log.add("phase", phase="steady")
        second = follower.news()
        assert [event.data for event in second.events] == [{"phase": "steady"}]
        assert seqs(second) == [1]
        assert follower.news() == News()


def test_a_torn_end_waits_for_its_rest(run: RunFolder) -> None:
    opened, log = begin(run)
    follower = TrialFollower(run.path, 1, TABLES)
    with sent(opened) as spool:
        spool.add(0, 10, 11)
        with spool.path.open("ab") as file:
            file.write(b"[1, 20")
        with log.path.open("a") as events:
            events.write('{"name": "phase"')
        news = follower.news()
        assert seqs(news) == [0]
        assert len(news.events) == 1
        assert not news.broken


def test_a_trial_that_is_sealed_between_two_looks_gives_its_rest_once(run: RunFolder) -> None:
    opened, log = begin(run)
    follower = TrialFollower(run.path, 1, TABLES)
    with sent(opened) as spool, sent(opened, "another") as other:
        spool.add(0, 10, 11)
        other.add(100, 10, 11)
        assert sorted(seqs(follower.news())) == [0, 100]
        spool.add(1, 20, 21)
        other.add(101, 20, 21)
    log.add("trial_end", status="ok")
    run.seal_trial(opened, facts())
    news = follower.news()
    assert news.sealed
    assert sorted(seqs(news)) == [1, 101]
    assert [event.name for event in news.events] == ["trial_end"]
    assert run.running() is None
    assert follower.news() == News(sealed=True)


def test_spools_that_are_gone_before_the_rename_cost_nothing(run: RunFolder) -> None:
    """Sealing writes the tables, removes the spools, and renames the folder last."""
    opened, _ = begin(run)
    follower = TrialFollower(run.path, 1, TABLES)
    with sent(opened) as spool:
        spool.add(0, 10, 11)
    before = shutil.copytree(opened, run.path / "kept")
    spool.path.unlink()
    assert seqs(follower.news()) == []
    shutil.copy(before / spool.path.name, spool.path)
    run.seal_trial(opened, facts())
    assert seqs(follower.news()) == [0]


def test_another_attempt_voids_what_was_given(run: RunFolder) -> None:
    opened, _ = begin(run)
    follower = TrialFollower(run.path, 1, TABLES)
    with sent(opened) as spool:
        spool.add_all([(seq, seq, seq) for seq in range(50)])
    assert len(seqs(follower.news())) == 50
    opened, _ = begin(run)
    with sent(opened) as spool:
        spool.add(7, 10, 11)
    news = follower.news()
    assert news.again
    assert [event.name for event in news.events] == ["trial_start"]
    assert seqs(news) == [7]
    assert not follower.news().again


def test_another_attempt_may_be_found_sealed(run: RunFolder) -> None:
    opened, _ = begin(run)
    follower = TrialFollower(run.path, 1, TABLES)
    follower.news()
    opened, _ = begin(run)
    with sent(opened) as spool:
        spool.add(7, 10, 11)
    run.seal_trial(opened, facts())
    news = follower.news()
    assert news.again
    assert seqs(news) == [7]


def test_a_folder_that_goes_away_is_no_error(run: RunFolder) -> None:
    opened, _ = begin(run)
    follower = TrialFollower(run.path, 1, TABLES)
    follower.news()
    shutil.rmtree(opened)
    assert follower.news() == News()


@pytest.mark.parametrize("text", ['{"table": "echo_sent"\n[1]\n', "\x00\x01\n", '{"source": "a", "host": "b"}\n[1,\n'])
def test_a_spool_that_is_not_ours_is_named_and_left(run: RunFolder, text: str) -> None:
    opened, _ = begin(run)
    (opened / "echo_sent@odd.jsonl").write_text(text)
    with sent(opened) as spool:
        follower = TrialFollower(run.path, 1, TABLES)
        spool.add(0, 10, 11)
        news = follower.news()
        assert seqs(news) == [0]
        assert list(news.broken) == ["echo_sent@odd.jsonl"]


def test_events_that_are_not_ours_are_named(run: RunFolder) -> None:
    opened, _ = begin(run)
    with (opened / "events.ndjson").open("a") as file:
        file.write(json.dumps({"name": "phase"}) + "\n")
    assert list(TrialFollower(run.path, 1, TABLES).news().broken) == ["events.ndjson"]


def test_a_whole_trial_is_the_same_followed_and_sealed(run: RunFolder, tmp_path: Path) -> None:
    tables = ("echo_sent", "echo_reply", "qmp_status", "qmp_event", "visit", "segment", "link")
    opened = run.open_trial(1)
    FakeTrials(PLAN).run_now(TrialSpec(1, 1, FACTORS, "host-a", "host-b"), opened)
    followed = TrialFollower(run.path, 1, tables).news()
    run.seal_trial(opened, facts())
    sealed = TrialFollower(run.path, 1, tables).news()

    def flat(news: News) -> dict[str, list[Any]]:
        return {name: sorted((row.source, row.host, row.values) for row in rows) for name, rows in news.rows.items()}

    assert flat(followed) == flat(sealed)
    assert followed.events == sealed.events


def test_a_table_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    recording = record(tmp_path)
    (recording.folder / "visit.parquet").write_bytes(b"no table")
    news = TrialFollower(recording.folder.parent.parent, 1, TABLES).news()
    assert list(news.broken) == ["visit.parquet"]
    assert seqs(news)


def test_a_table_of_no_name_is_refused(run: RunFolder) -> None:
    with pytest.raises(ValueError, match="no tables: nonsense"):
        TrialFollower(run.path, 1, ("nonsense",))
