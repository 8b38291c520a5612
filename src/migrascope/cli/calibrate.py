"""`calibrate`: what the meter's own error is on this machine."""

from typing import Any

from rich.table import Table

from migrascope.cli.console import Json, interruptible, stderr, stdout
from migrascope.cli.output import print_json
from migrascope.cli.progress import ConsoleProgress
from migrascope.cli.run import need_lab
from migrascope.model.calibration import Condition
from migrascope.model.load import Load
from migrascope.study.labs.images import prepare
from migrascope.study.plans import Options, load
from migrascope.study.runs.calibrate import calibrate as measure
from migrascope.trial.calibration_trial import Series


def calibrate(plan: str = "website", /, *, repeats: int = 10, json: Json = False) -> int:
    """Measures known cuts, pauses and holds and says how far the meter was off, with an idle guest, under the load of a
    plan, and 10 and 50 ms away; kept, and quoted by reports of runs with such a load.

    Parameters
    ----------
    plan
        The name of a built-in plan or a TOML file: its probes, visitors and viewers are those that are tried.
    repeats
        How often each of the seven lengths is tried.
    """
    chosen = load(plan, Options(lab="qemu"))
    need_lab(chosen)
    progress = ConsoleProgress(stderr())

    async def work() -> int:
        images = await prepare(progress.step, progress.waiting)
        result = await measure(chosen, images, Series(repeats=repeats), progress)
        if json:
            print_json(result)
        else:
            _print(result)
        return 0

    return interruptible(work())


def _print(result: dict[str, Any]) -> None:
    """A table for each condition, which fits into 80 columns."""
    machine, out = result["environment"], stdout()
    out.print(f"The meter's error at {result['echo_rate']:g} probes/s, in ms")
    out.print(f"{machine['cpu']}, {machine['cores']} cores, QEMU {result['qemu']}, {result['accelerator']}")
    conditions: dict[Condition, list[dict[str, Any]]] = {}
    for row in result["rows"]:
        conditions.setdefault(Condition.of(row), []).append(row)
    visits = Load.from_json(result["load"]).words()
    for condition, rows in conditions.items():
        title = f"{condition.words()}: {visits}" if condition.load == "loaded" else condition.words()
        table = Table(title=title)
        for name in ("layer", "truth", "about", "truth", "±", "bias", "|error|", "p95", "n"):
            table.add_column(name, justify="left" if name == "layer" else "right")
        for row in rows:
            pooled = row["nominal_s"] is None
            about = "all" if pooled else f"{1e3 * row['nominal_s']:.0f}"
            keys = ("truth_s", "truth_bound_s", "bias_s", "abs_error_median_s", "abs_error_p95_s")
            numbers = [f"{1e3 * row[key]:.2f}" for key in keys]
            table.add_row(row["layer"], row["truth"], about, *numbers, str(row["n"]), end_section=pooled)
        out.print()
        out.print(table)
