"""A comparison of runs as text: what differs of their environments, then a row for each figure."""

from rich.console import Console
from rich.table import Table

from migrascope.analysis.compare import Comparison, Difference
from migrascope.model.units import human
from migrascope.report.columns import DASH, factor_text

WORDS = {1: "more", -1: "less", 0: "no difference seen"}


def show(found: Comparison, console: Console) -> None:
    """Prints one comparison."""
    console.print(f"{found.theirs} against {found.ours}", style="bold", markup=False)
    for name, (ours, theirs) in found.facts.items():
        forced = "  (not comparable by this; forced)" if name in found.forced else ""
        told = (factor_text(name, ours), factor_text(name, theirs))
        console.print(f"differs: {name}: {told[0]}, then {told[1]}{forced}", markup=False)
    varying = _varying(found.differences)
    table = Table(box=None, pad_edge=False)
    for title in [*varying, "layer", "figure"]:
        table.add_column(title)
    for title in ("first", "then", "difference", "interval", "n"):
        table.add_column(title, justify="right")
    table.add_column("")
    for one in found.differences:
        table.add_row(*_row(one, varying))
    console.print()
    console.print(table)
    console.print(
        "Medians; the difference is the second's less the first's: within blocks (paired) where six blocks match, else "
        "over all pairs of trials. No difference seen is not the same as none.",
        style="dim",
    )


def _varying(differences: list[Difference]) -> list[str]:
    names = vars(differences[0].cell) if differences else {}
    return [name for name in names if len({getattr(one.cell, name) for one in differences}) > 1]


def _row(one: Difference, varying: list[str]) -> list[str]:
    def text(value: float | None) -> str:
        return DASH if value is None else human(value, one.unit)

    interval = f"{text(one.interval.low)} to {text(one.interval.high)}" if one.interval else DASH
    said = one.reason or WORDS[one.seen]
    paired = " (paired)" if one.paired else ""
    return [
        *(factor_text(name, getattr(one.cell, name)) for name in varying),
        one.layer, one.key, text(one.ours), text(one.theirs), text(one.effect), interval, str(one.n), said + paired,
    ]  # fmt: skip
