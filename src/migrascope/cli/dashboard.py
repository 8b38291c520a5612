"""A run that is watched, as lines of text: the most important first, so that a small terminal shows those."""

import math
from collections.abc import Sequence

from rich.text import Text

from migrascope.cli.console import visible
from migrascope.live.eta import Forecast
from migrascope.live.view import Buffer, Migration, Second, View
from migrascope.model.schedule import COMMAND
from migrascope.model.units import human
from migrascope.report.columns import cell_name, varying
from migrascope.study.observation.watch import QUIET_S, Finished, Status

BARS, ASCII_BARS = "▁▂▃▄▅▆▇█", ".:-=+*%@"
LOST, ASCII_LOST = "×", "x"
_PLAIN = str.maketrans({"·": "|", "–": "-", "→": ">", "≥": ">", "…": "~", "µ": "u", "—": "-", "█": "#", "░": "."})
NARROW = 60
"""Columns below which the first lines would lose their ends."""
_GRAPH = 60
"""Seconds of a graph at most."""


def lines(status: Status, width: int, *, ascii_only: bool = False) -> list[Text]:
    """The run at a moment, each line of `width` columns at most; a narrow terminal has what matters most first, in few
    words. ascii_only: for a terminal that knows no more."""
    found = [*_head(status), *_trial(status, width, ascii_only=ascii_only)]
    if width < NARROW:
        found = [*_short(status), *found]
    for line in found:
        if ascii_only:
            line.plain = line.plain.translate(_PLAIN)
        line.truncate(width, overflow="crop" if ascii_only else "ellipsis")
    return found


def table(status: Status, *, ascii_only: bool = False) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """(headings, rows) of the finished trials, the newest first."""
    shown = _shown(status)
    rows = [_row(finished, shown) for finished in reversed(status.finished)]
    if ascii_only:
        rows = [tuple(text.translate(_PLAIN) for text in row) for row in rows]
    # What is long comes last: a terminal's edge cuts it.
    return ("trial", "status", "time", "VM pause", "rounds", "cell"), rows


def plain(status: Status, width: int, *, ascii_only: bool = False) -> list[str]:
    """All of it as text, for a reader that is no terminal."""
    heads, rows = table(status, ascii_only=ascii_only)
    found = [line.plain for line in lines(status, width, ascii_only=ascii_only)]
    if not rows:
        return found
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    padded = [[text.ljust(size) for text, size in zip(row, widths, strict=True)] for row in (heads, *rows)]
    return [*found, "", *("  ".join(row).rstrip() for row in padded)]


def _shown(status: Status) -> list[str]:
    return varying([spec.factors for spec in status.trials]) or ["scenario"]


def _row(finished: Finished, shown: list[str]) -> tuple[str, ...]:
    def text(value: float | None, unit: str) -> str:
        return human(value, unit) if value is not None else "—"

    measured = [(finished.time_s, "s"), (finished.pause_s, "s"), (finished.rounds, "1")]
    figures = [text(found.value if found is not None else None, unit) for found, unit in measured]
    return (str(finished.number), visible(finished.status), *figures, cell_name(finished.factors, shown))


def _head(status: Status) -> list[Text]:
    done = f"{status.sealed} of {len(status.trials)} trials finished"
    name = f"{status.plan} · {done} · {status.run}"
    if status.replayed:
        name = f"replay · {name}"
    first = Text(name, "bold")
    if status.killed:
        command = f"migrascope run --resume {status.run}"
        return [first, Text(f"nobody runs it any more: {command}", "bold red")]
    return [first]


def _short(status: Status) -> list[Text]:
    """How far the run is and when the migration ends, in two lines of 20 columns."""
    view, migration = status.view, status.view.migration if status.view is not None else None
    where = "killed" if status.killed else "over" if status.over else ""
    if view is not None and not where:
        where = view.over or ("silent" if _silent(view, status) else view.phase)
    first = Text(f"{status.sealed}/{len(status.trials)} {visible(where)}".rstrip(), "bold")
    if migration is None:
        return [first]
    if migration.outcome:
        return [first, Text(f"{visible(migration.outcome)} {migration.at_s:.1f} s", "bold")]
    left = migration.forecast.left_s(migration.at_s)
    words = {"never": "no convergence", "late": "not in time"}.get(migration.forecast.verdict, "end unknown")
    ends = left is not None and words == "end unknown"
    return [first, Text(f"ends in {left:.1f} s" if ends else words, "bold")]


def _trial(status: Status, width: int, *, ascii_only: bool) -> list[Text]:
    view, spec = status.view, status.spec
    if view is None or spec is None:
        return [Text("no trial runs" if status.over else "the next trial is waited for")]
    where = f"{spec.source} → {spec.destination}: not asked for yet"
    if spec.factors.policy == COMMAND:
        where = "a command moves it: how far it is nobody says"
    if spec.factors.instances > 1:
        where = f"{spec.factors.instances} instances: their migrations are in the report"
    cell = cell_name(spec.factors, _shown(status))
    found = [_phase(view, status, cell), *_migration(view.migration, where)]
    found += _graph("ping", view.pings, width, ascii_only=ascii_only)
    for kind, seconds in view.visits:
        found += _graph(f"{kind} visits", seconds, width, ascii_only=ascii_only)
    if view.buffers:
        found.append(Text("player  " + "   ".join(map(_buffer, view.buffers))))
    if view.migration is not None and view.migration.forecast.end_s is not None and view.migration.forecast.why:
        found.append(Text(f"end moved: {view.migration.forecast.why}", "dim"))
    return [*found, *(Text(f"cannot be read: {visible(text)}", "red") for text in view.broken)]


def _phase(view: View, status: Status, cell: str) -> Text:
    line = Text(f"trial {view.number}")
    if view.over:
        return line.append(f" · {visible(view.over)}", "bold").append(f" · {cell}")
    line.append(f" · {view.phase or 'not begun'} {view.phase_s:.1f} s", "bold")
    if _silent(view, status):  # before what is long: the line is cut at the terminal's edge
        line.append(f" · nothing written for {view.quiet_s:.0f} s", "bold red")
    return line.append(f" · waits for {view.waits_for} · {cell}")


def _silent(view: View, status: Status) -> bool:
    """Whether somebody runs the trial, and writes nothing."""
    return view.quiet_s >= QUIET_S and status.writer is not None


def _migration(migration: Migration | None, where: str) -> list[Text]:
    if migration is None:
        return [Text(where, "dim")]
    first = Text(f"{migration.source} → {migration.destination} {migration.at_s:.1f} s")
    first.append_text(_end(migration))
    return [first, *_rounds(migration), *_pause(migration)]


def _end(migration: Migration) -> Text:
    if migration.outcome:
        return Text(f" · {visible(migration.outcome)}", "bold" if migration.outcome == "completed" else "bold red")
    forecast = migration.forecast
    left = forecast.left_s(migration.at_s)
    if forecast.verdict == "never":
        return Text(f" · will not converge: {forecast.why}", "bold red")
    if forecast.verdict == "late":
        ends = f", it would take {left:.1f} s more" if left is not None else ""
        return Text(f" · will not end in time: {forecast.why}{ends}", "bold red")
    if left is None:
        return Text(f" · end unknown: {forecast.why}", "dim")
    return Text(f" · ends in {left:.1f} s ({_interval(forecast, migration.at_s)})", "bold")


def _interval(forecast: Forecast, at_s: float) -> str:
    low = max(0.0, (forecast.low_s if forecast.low_s is not None else at_s) - at_s)
    high = f"{max(0.0, forecast.high_s - at_s):.1f} s" if forecast.high_s is not None else "open"
    return f"{low:.1f}–{high}"


def _rounds(migration: Migration) -> list[Text]:
    sample = migration.sample
    link = human(8 * migration.link_Bps, "bit/s") if migration.link_Bps is not None else "unknown"
    if sample is None:
        return [Text(f"nothing counted yet · link {link}")]
    if migration.outcome:
        counted = f"{sample.rounds} rounds · " if sample.rounds is not None else ""
        return [Text(f"{counted}{human(sample.transferred, 'B')} went over the link")]
    number = f"round {sample.rounds}" if sample.rounds is not None else sample.state
    dirty = human(sample.dirty_Bps, "B/s") if sample.dirty_Bps is not None else "unknown"
    expected = human(sample.expected_downtime_s, "s") if sample.expected_downtime_s is not None else "unknown"
    return [
        Text(f"{number} · {human(sample.remaining, 'B')} left of {human(sample.total, 'B')} · dirty rate {dirty}"),
        Text(
            f"link {link} · throttle {100 * sample.throttle:.0f} % · "
            f"pause expected {expected} of {human(migration.limit_s, 's')}"
        ),
    ]


def _pause(migration: Migration) -> list[Text]:
    if migration.paused_s is None:
        return []
    if migration.moved:
        return [Text(f"the guest stood still for {human(migration.paused_s, 's')}, runs on {migration.destination}")]
    return [Text(f"the guest stands still for {human(migration.paused_s, 's')}", "bold")]


def _graph(name: str, seconds: Sequence[Second], width: int, *, ascii_only: bool) -> list[Text]:
    """Name, newest median and share lost of the last minute, and a bar for each second: as high as its median on a
    scale of decades from 0.1 ms to 10 s, or a cross where something was lost."""
    if not seconds:
        return []
    asked, lost = sum(second.asked for second in seconds), sum(second.lost for second in seconds)
    known = [second.typical_s for second in seconds if second.typical_s is not None]
    typical = human(known[-1], "s") if known else "—"
    line = Text(f"{name:<12}{typical:>8}  ")
    line.append(f"{_share(lost, asked):>7} lost  ", "red" if lost else "")
    room = min(_GRAPH, width - len(line.plain))
    for second in seconds[-room:] if room > 0 else ():
        line.append(*_bar(second, ascii_only=ascii_only))
    return [line]


def _share(lost: int, asked: int) -> str:
    return f"{100 * lost / asked:.2f} %" if asked else "—"


def _bar(second: Second, *, ascii_only: bool) -> tuple[str, str]:
    if second.lost:
        return ASCII_LOST if ascii_only else LOST, "bold red"
    if second.typical_s is None:
        return " ", ""
    bars = ASCII_BARS if ascii_only else BARS
    height = (math.log10(max(second.typical_s, 1e-9)) + 4) / 5 * (len(bars) - 1)
    return bars[min(len(bars) - 1, max(0, round(height)))], ""


def _buffer(buffer: Buffer) -> str:
    full = round(8 * buffer.level_s / buffer.holds_s) if buffer.holds_s else 0
    return f"{buffer.viewer} {'█' * full}{'░' * (8 - full)} {buffer.level_s:.1f} of {buffer.holds_s:.1f} s"
