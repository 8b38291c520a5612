"""`calibrate`: what the meter's own error is on this machine."""

from typing import Any

from rich.table import Table

from migrascope.cli.console import Json, interruptible, stderr, stdout
from migrascope.cli.output import print_json
from migrascope.cli.progress import ConsoleProgress
from migrascope.cli.run import need_lab
from migrascope.model.plan import Plan
from migrascope.study.labs.images import prepare
from migrascope.study.runs.calibrate import calibrate as measure
from migrascope.trial.calibration_trial import Series


def calibrate(*, repeats: int = 10, json: Json = False) -> int:
    """Measures known cuts, pauses and holds and says how far the meter was off; kept, and quoted by reports.

    Parameters
    ----------
    repeats
        How often each of the seven lengths is tried.
    """
    plan = Plan()
    need_lab(plan)
    progress = ConsoleProgress(stderr())

    async def work() -> int:
        result = await measure(plan, await prepare(progress.step, progress.waiting), Series(repeats=repeats), progress)
        if json:
            print_json(result)
        else:
            _print(result)
        return 0

    return interruptible(work())


def _print(result: dict[str, Any]) -> None:
    machine = result["environment"]
    title = f"{machine['cpu']}, {machine['cores']} cores, QEMU {result['qemu']}, {result['accelerator']}"
    table = Table(title=f"The meter's error at {result['echo_rate']:g} probes/s, in ms\n{title}")
    for name in ("layer", "truth", "about", "truth", "±", "bias", "|error|", "p95", "n"):
        table.add_column(name, justify="left" if name == "layer" else "right")
    for row in result["rows"]:
        about = "all" if row["nominal_s"] is None else f"{1e3 * row['nominal_s']:.0f}"
        keys = ("truth_s", "truth_bound_s", "bias_s", "abs_error_median_s", "abs_error_p95_s")
        numbers = [f"{1e3 * row[key]:.2f}" for key in keys]
        pooled = row["nominal_s"] is None
        table.add_row(row["layer"], row["truth"], about, *numbers, str(row["n"]), end_section=pooled)
    stdout().print(table)
