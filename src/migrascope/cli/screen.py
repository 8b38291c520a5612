"""The terminal screen of a run that is watched. It reads, and nothing that is done on it reaches the run."""

import asyncio
import signal
import threading
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Resize
from textual.widgets import DataTable, Footer, Static

from migrascope.cli import dashboard
from migrascope.study.observation.watch import Afterwards, Status, Watch

EVERY_S = 0.5
"""Between two looks: figures that change faster cannot be read."""


class WatchApp(App[None]):
    """One run. leave: closes by itself when the run is over. problem: why it closed, where it had to."""

    CSS = """
    #now { height: auto; }
    #finished { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("q", "quit", "close (the run goes on)")]
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, watched: Watch, *, leave: bool = False, ascii_only: bool = False) -> None:
        super().__init__(ansi_color=True)
        self._watched, self._leave, self._ascii_only = watched, leave, ascii_only
        self.status: Status | None = None
        self.problem: Exception | None = None
        self._rows: tuple[str, int] | None = None
        self._one_at_a_time = threading.Lock()

    def compose(self) -> ComposeResult:
        yield Static(id="now", markup=False)
        yield DataTable(id="finished", cursor_type="none")
        yield Footer()

    def on_mount(self) -> None:
        # without a handler the signal would leave the terminal as it is
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.exit)
        if self._ascii_only:  # the ends of scroll bars are drawn with parts of blocks
            for widget in (self.screen, self.query_one("#finished", DataTable)):
                widget.styles.scrollbar_size_horizontal = widget.styles.scrollbar_size_vertical = 0
        self.set_interval(EVERY_S, self.look)
        self.look()

    def look(self) -> None:
        """Looks in a thread of its own, so that keys are answered meanwhile; not while another look lasts."""
        if not self._one_at_a_time.locked():
            self.run_worker(self._looked, thread=True, group="look")

    def _looked(self) -> None:
        with self._one_at_a_time:
            try:
                status = self._watched.look()
            except Exception as error:
                self.call_from_thread(self._end, error)
                return
        self.call_from_thread(self._show, status)

    def _end(self, error: Exception) -> None:
        self.problem = error
        self.exit()

    def _show(self, status: Status) -> None:
        self.status = status
        self._draw()
        if self._leave and status.over:
            self.exit()

    def _draw(self, width: int | None = None) -> None:
        """width: of the terminal where it has just become another; None for what it was."""
        if self.status is None or not self.query("#now"):  # when it ends, its widgets go before its last look
            return
        found = dashboard.lines(self.status, width or self.size.width, ascii_only=self._ascii_only)
        self.query_one("#now", Static).update(Text("\n").join(found))
        key = (self.status.run, len(self.status.finished))
        if key != self._rows:
            self._rows = key
            heads, rows = dashboard.table(self.status, ascii_only=self._ascii_only)
            finished: DataTable[Text] = self.query_one("#finished", DataTable)
            finished.clear(columns=True)
            finished.add_columns(*heads)
            # a string would be read as markup
            finished.add_rows([Text(cell, no_wrap=True, overflow="crop") for cell in row] for row in rows)

    def on_resize(self, event: Resize) -> None:
        self._draw(event.size.width)


class ReplayApp(WatchApp):
    """A finished trial, replayed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "close"),
        Binding("space", "pause", "pause"),
        Binding("p", "step(-1)", "previous"),
        Binding("n", "step(1)", "next"),
        Binding("e", "to_end", "end"),
    ]

    def __init__(self, replay: Afterwards, *, ascii_only: bool = False) -> None:
        super().__init__(replay, ascii_only=ascii_only)
        self._replay = replay

    def action_pause(self) -> None:
        """Stops the replay's clock, or lets it go on."""
        with self._one_at_a_time:
            self._replay.paused = not self._replay.paused

    def action_step(self, by: int) -> None:
        """Goes to another trial."""
        with self._one_at_a_time:
            self._replay.step(by)
        self.look()

    def action_to_end(self) -> None:
        """Goes to the last moment of the trial."""
        with self._one_at_a_time:
            self._replay.to_end()
        self.look()
