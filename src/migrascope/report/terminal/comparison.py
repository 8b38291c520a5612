"""A comparison of runs as text: what differs of their environments, then a row for each figure."""

from math import isinf

from rich.console import Console

from migrascope.analysis.compare import Comparison, Difference
from migrascope.analysis.statistics import FEWEST
from migrascope.model.units import at_least_text, human
from migrascope.report.columns import DASH, cell_name, factor_text, varying

WORDS = {1: "more", -1: "less", 0: "no difference seen"}


NOTE = (
    "Medians, and how far they are apart: the second's less the first's, with an interval that holds whatever the "
    "spreads. ≥: at least, since it was cut off; of the difference only the sign is then known."
)


def show(found: Comparison, console: Console) -> None:
    """Prints one comparison: a table for each cell, its lines as long as they are."""
    console.print(f"{found.theirs} against {found.ours}", style="bold", markup=False)
    for name, (ours, theirs) in found.facts.items():
        forced = "  (not comparable by this; forced)" if name in found.forced else ""
        told = (factor_text(name, ours), factor_text(name, theirs))
        console.print(f"differs: {name}: {told[0]}, then {told[1]}{forced}", markup=False, soft_wrap=True)
    cells = list(dict.fromkeys(difference.cell for difference in found.differences))
    judged = {difference.cell for difference in found.differences if difference.p is not None}
    names = varying(cells) or ["scenario"]
    for cell in (cell for cell in cells if cell in judged or not judged):
        console.print(f"\n{cell_name(cell, names)}", style="bold", markup=False, soft_wrap=True)
        for place, decided in zip(("first", "then"), found.limits[cell], strict=True):
            if decided.words:
                console.print(f"{place}: {decided.words}, which are in", markup=False, soft_wrap=True)
        rows = [["layer", "figure", "first", "then", "difference", "interval", "n", ""]]
        rows += [_row(difference, found.comparisons) for difference in found.differences if difference.cell == cell]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            line = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
            console.print(line.rstrip(), markup=False, soft_wrap=True)
    if judged and len(cells) > len(judged):
        words = (
            f"{len(cells) - len(judged)} more cells have fewer than {FEWEST} trials in a run, which tell no difference."
        )
        console.print(f"\n{words}")
    console.print(f"\n{NOTE} {_family(found)}", style="dim")


def _family(found: Comparison) -> str:
    """In words, by what rule a difference is seen."""
    if not found.comparisons:
        return ""
    return (
        f"{found.comparisons} comparisons: a difference is seen where its interval has one sign and a rank test holds "
        "among all of them (Benjamini-Hochberg). Of those seen at most one in twenty is false in the mean, and two "
        "runs of the same show none in 19 of 20 cases. No difference seen is not the same as none."
    )


def _row(difference: Difference, of: int) -> list[str]:
    def text(value: float | None) -> str:
        return DASH if value is None else human(value, difference.unit)

    interval = DASH
    if difference.interval:
        low, high = (DASH if isinf(end) else text(end) for end in (difference.interval.low, difference.interval.high))
        interval = f"{low} to {high}"
    medians = (
        at_least_text(text(median), at_least=cut_off)
        for median, cut_off in (
            (difference.ours, difference.ours_at_least),
            (difference.theirs, difference.theirs_at_least),
        )
    )
    chance = difference.apart and not difference.seen
    said = difference.reason or (f"may be chance among {of}" if chance else WORDS[difference.seen])
    return [difference.layer, difference.key, *medians, text(difference.effect), interval, str(difference.n), said]
