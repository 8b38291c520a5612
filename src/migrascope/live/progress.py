"""How far a trial's migration is, folded from what QEMU, libvirt and Nova answer and from QEMU's events."""

import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any

from migrascope.live.before import TABLES as BEFORE
from migrascope.live.before import Before
from migrascope.live.eta import Forecast, at_request
from migrascope.live.experience import Known
from migrascope.live.history import History
from migrascope.live.recorded import PARAMETERS, PASS
from migrascope.live.replay import written_ns
from migrascope.live.sample import NS, Sample, of_libvirt, of_nova, of_qemu
from migrascope.live.terms import Terms
from migrascope.live.view import Migration
from migrascope.model.events import Event
from migrascope.store.following import Row

TABLES = ("qmp_event", "qmp_status", "libvirt_job", "api", *BEFORE, "link", "process_cpu")
_KEPT = 400
"""Rows that are kept until the request is known: events and rows are written by different processes."""
_LINK_NS = NS // 4
"""The link's rate is taken over so long at least."""
Reader = Callable[[Any, float], Sample | None]


class Progress:
    """One trial's migration. A trial that asks for another one begins anew with it."""

    def __init__(self, terms: Terms, known: Callable[[int | None], Known]) -> None:
        self._plan_terms, self._known_by = terms, known
        self._rows: deque[tuple[str, Row]] = deque(maxlen=_KEPT)
        self._resident: dict[str, int] = {}
        self._before = Before()
        self._request: Event | None = None
        self._reset()

    def _reset(self) -> None:
        self._terms = self._at_request = self._plan_terms
        self._known = self._known_by(None)
        self._asked: str = ""
        self._history: History | None = None
        self._forecast: Forecast | None = None
        self._stop_ns: int | None = None
        self._resume_ns: int | None = None
        self._end_ns: int | None = None
        self._outcome = ""
        self._parameters: dict[str, Any] = {}
        self._passes: dict[int, float] = {}
        self._counted: tuple[int, int] | None = None
        self._link_Bps: float | None = None

    @property
    def request_ns(self) -> int | None:
        """Mono ns of the request, None before it."""
        return self._request.mono_ns if self._request is not None else None

    def event(self, event: Event) -> None:
        """An event of the trial."""
        if event.name == "migrate_request":
            self._request = event
            self._reset()
            self._expect()
            for table, row in self._rows:
                self._row(table, row)
        elif event.name == "migrate_done":
            self._end_ns, self._outcome = event.mono_ns, "completed"
        elif event.name == "migrate_failed":
            self._end_ns, self._outcome = event.mono_ns, str(event.data.get("reason") or "failed")

    def _expect(self) -> None:
        """What is expected by all that was seen before the request."""
        assert self._request is not None
        learnt = self._known_by(self._resident.get(f"qemu-{self._request.data['source']}"))
        self._at_request = self._before.terms(self._plan_terms)
        self._known = self._before.known(learnt, self._plan_terms)
        self._terms = self._at_request.limited(self._parameters)
        if self._history is None:
            self._forecast = at_request(self._terms, self._known)

    def take(self, rows: Mapping[str, Sequence[Row]]) -> None:
        """The rows of a look."""
        for row in rows.get("process_cpu", ()):
            if self._request is None:
                self._resident[row.values[1]] = row.values[3]
        found = [(written_ns(table, row.values), table, row) for table in TABLES[:-1] for row in rows.get(table, ())]
        request_ns, late = self.request_ns, False
        for at_ns, table, row in sorted(found, key=itemgetter(0)):
            asked = request_ns is not None and at_ns > request_ns
            if late and asked:  # what was seen before the request was read after it
                self._expect()
            late = request_ns is not None and not asked
            if table in BEFORE:
                self._before.take(table, row.values)
            elif self._request is None:
                self._rows.append((table, row))
            else:
                self._row(table, row)
        if late:
            self._expect()

    def _row(self, table: str, row: Row) -> None:
        if table == "qmp_event":
            self._qemu_said(row)
        elif table == "link":
            self._link(row)
        elif table == "qmp_status":
            _, answered_ns, command, answer = row.values
            if command == "query-migrate" and self._of_source(row):
                self._answered("qemu", of_qemu, answered_ns, answer)
            elif command == PARAMETERS and self._of_source(row) and answer and self._since(answered_ns):
                self._parameters = json.loads(answer)
                self._terms = self._at_request.limited(self._parameters)
        elif table == "libvirt_job":
            _, answered_ns, kind, answer = row.values
            if kind == "running" and self._of_source(row):
                self._answered("libvirt", of_libvirt, answered_ns, answer)
        elif table == "api":
            _, answered_ns, what, answer, error = row.values
            if what == "running" and not error:
                self._answered("nova", of_nova, answered_ns, answer)

    def _of_source(self, row: Row) -> bool:
        return self._request is not None and row.host == self._request.data["source"]

    def _since(self, at_ns: int) -> bool:
        return self._request is not None and at_ns >= self._request.mono_ns

    def _answered(self, who: str, reader: Reader, at_ns: int, answer: str) -> None:
        """One answer. Only those of the closest to the hypervisor are counted: what the others say comes from it."""
        order = ("", "nova", "libvirt", "qemu")
        if not answer or not self._since(at_ns) or order.index(who) < order.index(self._asked):
            return
        assert self._request is not None
        sample = reader(json.loads(answer), (at_ns - self._request.mono_ns) / NS)
        if sample is None:
            return
        sample = sample.beside(self._passes, self._before.writer.lately())
        if who != self._asked:
            self._asked, self._history = who, None
        self._history = self._history.then(sample) if self._history is not None else History.of(sample)

    def _qemu_said(self, row: Row) -> None:
        event, _, read_ns, data = row.values
        if self._request is None or not self._since(read_ns):
            return
        if event == PASS and row.host == self._request.data["source"]:
            self._passes[json.loads(data)["pass"]] = (read_ns - self._request.mono_ns) / NS
        if event == "STOP" and row.host == self._request.data["source"] and self._resume_ns is None:
            self._stop_ns = read_ns
        if event == "RESUME" and row.host == self._request.data["destination"] and self._resume_ns is None:
            self._resume_ns = read_ns

    def _link(self, row: Row) -> None:
        at_ns, link, node, _, _, sent, *_ = row.values
        if self._request is None or link != "migration" or node != self._request.data["source"]:
            return
        if self._counted is None:
            self._counted = (at_ns, sent)
        elif at_ns - self._counted[0] >= _LINK_NS:
            self._link_Bps = (sent - self._counted[1]) * NS / (at_ns - self._counted[0])
            self._counted = (at_ns, sent)

    def migration(self, now_ns: int) -> Migration | None:
        """The migration at that stamp; None before it is asked for."""
        if self._request is None or self._forecast is None:
            return None
        if self._history is not None:
            self._forecast = self._forecast.on(self._history, self._terms, self._known)
        end_ns = self._end_ns if self._end_ns is not None else now_ns
        paused_s = None
        if self._stop_ns is not None:
            paused_s = max(0.0, ((self._resume_ns if self._resume_ns is not None else end_ns) - self._stop_ns) / NS)
        return Migration(
            str(self._request.data["source"]),
            str(self._request.data["destination"]),
            max(0.0, (end_ns - self._request.mono_ns) / NS),
            self._history.last if self._history is not None else None,
            replace(self._forecast, history=None),
            self._terms.limit_s,
            self._link_Bps,
            paused_s,
            self._resume_ns is not None,
            self._outcome,
        )
