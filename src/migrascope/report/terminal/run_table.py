"""The one table of a run, and its findings, for a terminal or a pipe."""

from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from migrascope.analysis.outcome import nothing, overload
from migrascope.analysis.summary import Summary
from migrascope.report.columns import (
    LEGEND,
    Column,
    Entry,
    caution,
    columns_of,
    entry,
    factor_text,
    factor_title,
    finest,
    first_line,
    shown_factors,
    widened,
)
from migrascope.report.page import failures, fleet, networks, policies

GAP = 2
SIGNS = {
    "pass": ("pass", "green"),
    "fail": ("FAIL", "red"),
    "unknown": ("?", "yellow"),
    "shown": ("shown", "cyan"),
    "open": ("?", "yellow"),
}


@dataclass(frozen=True)
class _Lane:
    """A column as text: the lines of its heading, and for each row the lines of its cell, all to be set right-aligned
    unless `words`."""

    heading: list[str]
    cells: list[list[str]]
    words: bool = False

    @property
    def width(self) -> int:
        lines = [*self.heading, *(line for cell in self.cells for line in cell)]
        return max(cell_len(line) for line in lines)


def show(summary: Summary, console: Console) -> None:
    """Prints where the figures come from, the table, its footnotes, and the findings. The table is one line to a row
    where the console is wide enough, else the interval stands beneath the median, else the columns are split into
    several tables that each repeat the row's name, the first with the numbers of trials."""
    if (words := overload(summary)) is not None:
        console.print(Text(words, style="bold yellow"), soft_wrap=True)
    console.print(Text(first_line(summary), style="bold"))
    if (words := nothing(summary)) is not None:
        console.print(Text(words, style="bold"), soft_wrap=True)
        _failures(summary, console)
        return
    warning = caution(summary)
    if warning is not None:
        console.print(Text(warning, style="yellow"))
    notes: list[str] = []
    columns = columns_of(summary)
    rows = [
        [entry(cell.metrics.get(column.key), column, finest(column, summary.calibration)) for column in columns]
        for cell in summary.cells
    ]
    for shows in (shows for row in rows for shows in row):
        if shows.reason is not None and shows.reason not in notes:
            notes.append(shows.reason)
    for lanes in _fit(columns, _names(summary), _counts(summary), rows, notes, console.width):
        console.print()
        _print(lanes, console)
    console.print()
    for number, note in enumerate(notes, start=1):
        console.print(Text(f"({number}) not measured: {note}", style="dim"))
    console.print(Text(LEGEND, style="dim"))
    if (words := widened(summary)) is not None:
        console.print(Text(words, style="dim"))
    _policies(summary, console)
    _networks(summary, console)
    _fleet(summary, console)
    _failures(summary, console)
    _findings(summary, console)


def _names(summary: Summary) -> list[_Lane]:
    return [
        _Lane([factor_title(name)], [[factor_text(name, getattr(cell.factors, name))] for cell in summary.cells], True)
        for name in shown_factors(summary.cells)
    ]


def _counts(summary: Summary) -> list[_Lane]:
    counts = {
        "Trials": [str(cell.trials - cell.failed) for cell in summary.cells],
        "Failed": [str(cell.failed) for cell in summary.cells],
        "Limited": [
            f"{cell.limited}{f' ({cell.limit_unknown} ?)' if cell.limit_unknown else ''}" for cell in summary.cells
        ],
    }
    return [
        _Lane([title], [[text] for text in texts])
        for title, texts in counts.items()
        if title == "Trials" or set(texts) != {"0"}
    ]


def _fit(
    columns: list[Column], names: list[_Lane], counts: list[_Lane], rows: list[list[Entry]], notes: list[str],
    width: int,
) -> list[list[_Lane]]:  # fmt: skip
    """The tables to print: one on single lines, one with the intervals beneath, or as many as it takes."""
    for beneath in (False, True):
        lanes = [
            _Lane(
                [*column.title.replace(",", "").split(" "), column.unit],
                [_cell(row[place], notes, beneath) for row in rows],
            )
            for place, column in enumerate(columns)
        ]
        if _width(names + counts + lanes) <= width:
            return [names + counts + lanes]
    return _split(names, counts + lanes, width)


def _split(names: list[_Lane], lanes: list[_Lane], width: int) -> list[list[_Lane]]:
    """As many tables as it takes, each with the names."""
    tables = [list(names)]
    for lane in lanes:
        if _width([*tables[-1], lane]) > width and len(tables[-1]) > len(names):
            tables.append(list(names))
        tables[-1].append(lane)
    return tables


def _cell(shows: Entry, notes: list[str], beneath: bool) -> list[str]:
    if shows.reason is not None:
        return [f"{shows.median} ({notes.index(shows.reason) + 1})"]
    if not shows.interval:
        return [shows.median]
    return [shows.median, shows.interval] if beneath else [f"{shows.median} ({shows.interval})"]


def _width(lanes: list[_Lane]) -> int:
    return sum(lane.width for lane in lanes) + GAP * (len(lanes) - 1)


def _print(lanes: list[_Lane], console: Console) -> None:
    height = max(len(lane.heading) for lane in lanes)
    headings = [[""] * (height - len(lane.heading)) + lane.heading for lane in lanes]
    for line in range(height):
        console.print(_line([heading[line] for heading in headings], lanes, "bold"), soft_wrap=True)
    console.print(Text("─" * _width(lanes), style="dim"), soft_wrap=True)
    for row in range(len(lanes[0].cells)):
        cells = [lane.cells[row] for lane in lanes]
        for line in range(max(map(len, cells))):
            texts = [cell[line] if line < len(cell) else "" for cell in cells]
            console.print(_line(texts, lanes, "dim" if line else ""), soft_wrap=True)


def _line(texts: list[str], lanes: list[_Lane], style: str) -> Text:
    padded = [
        text + " " * (lane.width - cell_len(text)) if lane.words else " " * (lane.width - cell_len(text)) + text
        for text, lane in zip(texts, lanes, strict=True)
    ]
    return Text((" " * GAP).join(padded).rstrip(), style=style)


def _policies(summary: Summary, console: Console) -> None:
    """What each policy costs, where there are several."""
    shows = policies.table(summary)
    if shows is not None:
        _costs(shows, shows["heads"].index(policies.OUTCOME), {policies.OUTCOME}, console)


def _networks(summary: Summary, console: Console) -> None:
    """What each network costs, where there are several."""
    shows = networks.table(summary)
    if shows is not None:
        _costs(shows, shows["named"], {networks.WHY}, console)


def _costs(shows: dict[str, Any], named: int, words: set[str], console: Console) -> None:
    """A table of what is compared, in as many as it takes, each with the first columns, which name it. words: the other
    columns that hold no figures."""
    lanes = [
        _Lane(title.split(), [[row[place]] for row in shows["rows"]], words=place < named or title in words)
        for place, title in enumerate(shows["heads"])
    ]
    for table in _split(lanes[:named], lanes[named:], console.width):
        console.print()
        _print(table, console)
    console.print(Text(shows["note"], style="dim"))


def _fleet(summary: Summary, console: Console) -> None:
    """What several instances cost, where there are any."""
    shows = fleet.table(summary)
    if shows is None:
        return
    lanes = [
        _Lane(head.split(), [list(row[place]) for row in shows["rows"]], words=place == 1)
        for place, head in enumerate(shows["heads"])
    ]
    console.print()
    _print(lanes, console)
    console.print(Text(shows["note"], style="dim"))


def _failures(summary: Summary, console: Console) -> None:
    """What each disturbance did, where there are any."""
    said = failures.lines(summary)
    for line in ["", *said] if said else []:
        indent = len(line) - len(line.lstrip())
        for number, words in enumerate(Text(line.lstrip()).wrap(console, max(20, console.width - indent - GAP))):
            console.print(Text(" " * (indent + GAP * min(number, 1))) + words, soft_wrap=True)


def _findings(summary: Summary, console: Console) -> None:
    console.print()
    for finding in summary.findings:
        sign, style = SIGNS[finding.label]
        lines = Text(finding.text).wrap(console, max(20, console.width - 7))
        for number, line in enumerate(lines):
            console.print(Text(f"{'' if number else sign:<7}", style=style) + line, soft_wrap=True)
