"""A comparison of runs as text: what differs of their environments, then a row for each figure."""

from math import isinf

from rich.console import Console

from migrascope.analysis.compare import Comparison, Difference
from migrascope.model.units import at_least_text, human
from migrascope.report.columns import DASH, cell_name, factor_text, varying

WORDS = {1: "more", -1: "less", 0: "no difference seen"}


NOTE = (
    "Medians; the difference is the second's less the first's: within blocks (paired) where six blocks match, else "
    "over all pairs of trials. No difference seen is not the same as none. "
    "≥: at least, since it was cut off; of the difference only the sign is then known."
)


def show(found: Comparison, console: Console) -> None:
    """Prints one comparison: a table for each cell, its lines as long as they are."""
    console.print(f"{found.theirs} against {found.ours}", style="bold", markup=False)
    for name, (ours, theirs) in found.facts.items():
        forced = "  (not comparable by this; forced)" if name in found.forced else ""
        told = (factor_text(name, ours), factor_text(name, theirs))
        console.print(f"differs: {name}: {told[0]}, then {told[1]}{forced}", markup=False, soft_wrap=True)
    cells = list(dict.fromkeys(one.cell for one in found.differences))
    names = varying(cells) or ["scenario"]
    for cell in cells:
        console.print(f"\n{cell_name(cell, names)}", style="bold", markup=False, soft_wrap=True)
        rows = [["layer", "figure", "first", "then", "difference", "interval", "n", ""]]
        rows += [_row(one) for one in found.differences if one.cell == cell]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            line = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
            console.print(line.rstrip(), markup=False, soft_wrap=True)
    console.print(f"\n{NOTE} {_by_chance(found)}", style="dim")


def _by_chance(found: Comparison) -> str:
    """How many differences would be seen between two runs of the same, since each has an interval of its own."""
    told = [one.interval.coverage for one in found.differences if one.interval is not None]
    if not told:
        return ""
    return f"{len(told)} comparisons: in two runs of the same about {sum(1 - each for each in told):.1f} would differ."


def _row(one: Difference) -> list[str]:
    def text(value: float | None) -> str:
        return DASH if value is None else human(value, one.unit)

    interval = DASH
    if one.interval:
        low, high = (DASH if isinf(end) else text(end) for end in (one.interval.low, one.interval.high))
        interval = f"{low} to {high}"
    medians = (
        at_least_text(text(median), at_least=cut_off)
        for median, cut_off in ((one.ours, one.ours_at_least), (one.theirs, one.theirs_at_least))
    )
    said = one.reason or WORDS[one.seen] + (" (paired)" if one.paired else "")
    return [one.layer, one.key, *medians, text(one.effect), interval, str(one.n), said]
