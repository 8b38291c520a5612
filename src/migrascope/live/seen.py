"""What has been seen of a trial so far, folded from its rows and events as they come, no more than a view needs.

seen = Seen(spec.number, terms, lambda resident: known(factors, pasts, resident), buffer_s)
seen.take(follower.news())
view = seen.view(mono_ns())
"""

from collections.abc import Callable, Iterator

from migrascope.live.experience import Known
from migrascope.live.playing import Viewer
from migrascope.live.progress import TABLES as PROGRESS_TABLES
from migrascope.live.progress import Progress
from migrascope.live.replay import written_ns
from migrascope.live.sample import NS
from migrascope.live.seconds import Seconds
from migrascope.live.terms import Terms
from migrascope.live.view import Buffer, View
from migrascope.model.events import Event
from migrascope.model.family import FIRST, family_of
from migrascope.store.following import News, Row

TABLES = ("echo_sent", "echo_reply", "clock", "visit", "segment", *PROGRESS_TABLES)
"""What a view is made from."""
_AFTERWARDS = ("drain", "collect")
"""Phases in which viewers ask for nothing more."""


class Seen:
    """One trial. terms: how its migration is set. known: what earlier trials teach, by the bytes of the hypervisor's
    process, None where those are not known. buffer_s: what a player holds. newest_ns: the latest stamp that was seen, 0
    before any."""

    def __init__(
        self, number: int, terms: Terms, known: Callable[[int | None], Known], buffer_s: float, *, alone: bool = True
    ) -> None:
        """alone: whether one instance is migrated; of several no migration is shown."""
        self.number, self._terms, self._known, self._buffer_s, self._alone = number, terms, known, buffer_s, alone
        self._clear()

    def _clear(self) -> None:
        self._pings = Seconds()
        self._visits: dict[str, Seconds] = {}
        self._viewers: dict[str, Viewer] = {}
        self._progress = Progress(self._terms, self._known)
        self._phase, self._phase_ns, self._over = "", 0, ""
        self.newest_ns = 0
        self._offsets: dict[int, int] = {}
        self._offset_ns = 0
        self._broken: tuple[str, ...] = ()

    def take(self, news: News) -> None:
        """What a look at the trial brought."""
        if news.again:
            self._clear()
        for event in news.events:
            self._event(event)
        for row in _of_first(news, "echo_sent"):
            self._pings.ask(row.values[0], row.values[2])
        for row in news.rows.get("clock", ()):
            mono_ns, wall_ns = row.values
            self._offsets[wall_ns // NS] = self._offset_ns = wall_ns - mono_ns
        for row in _of_first(news, "echo_reply"):
            seq, wall_ns, _ = row.values
            self._pings.answer(seq, wall_ns - self._offsets.get(wall_ns // NS, self._offset_ns))
        for row in _of_first(news, "visit"):
            self._visit(row)
        for row in news.rows.get("segment", ()):
            self._segment(row)
        if self._alone:
            self._progress.take(news.rows)
        for table, rows in news.rows.items():
            self.newest_ns = max([self.newest_ns, *(written_ns(table, row.values) for row in rows)])
        self._broken = tuple(f"{name}: {why}" for name, why in sorted(news.broken.items()))

    def _event(self, event: Event) -> None:
        self.newest_ns = max(self.newest_ns, event.mono_ns)
        self._offset_ns = event.wall_ns - event.mono_ns
        if event.name == "phase":
            self._phase, self._phase_ns = str(event.data["phase"]), event.mono_ns
        if event.name == "trial_end":
            status, reason = event.data.get("status", "over"), event.data.get("reason")
            self._over = f"{status}: {reason}" if reason else str(status)
        if self._alone:
            self._progress.event(event)

    def _visit(self, row: Row) -> None:
        kind, seq, _, sent_ns, _, _, done_ns, _, _, _, error = row.values
        visits = self._visits.setdefault(kind, Seconds())
        visits.ask(seq, sent_ns)
        if done_ns and not error:
            visits.answer(seq, done_ns)

    def _segment(self, row: Row) -> None:
        _, media_s, duration_s, _, done_ns, _, _, error = row.values
        if done_ns and not error:
            quiet = self._progress.request_ns is None or done_ns < self._progress.request_ns
            self._viewers.setdefault(row.source, Viewer()).take(media_s, duration_s, done_ns, quiet=quiet)

    def view(self, now_ns: int) -> View:
        """The trial at that stamp."""
        playing = {} if self._phase in _AFTERWARDS else self._viewers
        levels = {name: viewer.level_s(now_ns, self._buffer_s) for name, viewer in sorted(playing.items())}
        return View(
            self.number,
            now_ns,
            self._phase,
            max(0.0, (now_ns - self._phase_ns) / NS) if self._phase else 0.0,
            max(0.0, (now_ns - self.newest_ns) / NS) if self.newest_ns else 0.0,
            self._pings.seconds(now_ns),
            tuple((kind, visits.seconds(now_ns)) for kind, visits in sorted(self._visits.items())),
            tuple(Buffer(name, level, self._buffer_s) for name, level in levels.items() if level is not None),
            self._progress.migration(now_ns),
            self._over,
            self._broken,
        )


def _of_first(news: News, table: str) -> Iterator[Row]:
    """The rows of the first address family: a view shows one."""
    return (row for row in news.rows.get(table, ()) if family_of(row.source) == FIRST)
