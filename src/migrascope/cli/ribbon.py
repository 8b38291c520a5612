"""A line for each observed address on a terminal: its last minute as a ribbon, round trip, loss, the last blackout."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from migrascope.cli.console import visible
from migrascope.model.units import human

if TYPE_CHECKING:
    from migrascope.study.observation.observe import View

_EVERY_S = 0.5
_OTHERS_WIDTH = 40
"""Columns for what is beside the ribbon and the name."""
_LEAST_CELLS, _MOST_CELLS = 10, 60
_STATES = ((" ", ""), ("▁", "green"), ("▄", "yellow"), ("█", "red"))
_ASCII = " .oX"


class Ribbons:
    """Drawn anew twice a second, below the lines that stay. A context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._ascii = not console.encoding.lower().startswith("utf")
        self._drawn = 0.0

    def __enter__(self) -> "Ribbons":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, views: "Sequence[View]") -> None:
        now = time.monotonic()
        if now - self._drawn < _EVERY_S:
            return
        self._drawn = now
        self._live.update(self._table(views), refresh=True)

    def _table(self, views: "Sequence[View]") -> Table:
        table = Table.grid(padding=(0, 1))
        names = [visible(view.target.name) for view in views]
        cells = min(_MOST_CELLS, max(_LEAST_CELLS, self._console.width - _OTHERS_WIDTH - max(map(len, names))))
        now = time.monotonic_ns()
        for name, view in zip(names, views, strict=True):
            packets = view.window.recent(now)
            known = int((packets.rtt_ns >= 0).sum()) + int(packets.lost.sum())
            trip = human(packets.quiet_rtt_ns / 1e9, "s") if packets.quiet_rtt_ns else "no reply"
            loss = f"{human(float(packets.lost.sum()) / known, 'ratio')} lost" if known else ""
            last = f"last {human(view.last.seconds, 's')}" if view.last is not None else ""
            table.add_row(name, self._ribbon(view.window.ribbon(now, cells)), trip, loss, last)
        return table

    def _ribbon(self, states: Sequence[int]) -> Text:
        text = Text(no_wrap=True)
        for state in states:
            mark, style = _STATES[state]
            text.append(_ASCII[state] if self._ascii else mark, style)
        return text
