"""The sentence on the meter's own error: what calibrate measured under a load like the run's."""

from migrascope.analysis.results import Finding
from migrascope.model.calibration import Calibration
from migrascope.model.load import Load
from migrascope.model.units import human


def meter_error(calibration: Calibration | None, load: Load | None, echo_rate: float) -> Finding:
    """calibration: of the machine that the run was made on; load and echo_rate (probes/s): the run's."""
    if calibration is None:
        text = "The meter's error on this machine is not known; measure it with: migrascope calibrate"
        return Finding("accuracy", "unknown", text)
    pooled = [row for row in calibration.quoted(load, echo_rate) if row["quoted"] and row["nominal_s"] is None]
    if not pooled:
        had = "" if load is None else f", and this run had {load.visits()}, {echo_rate:g} probes/s"
        text = (
            f"The meter's error is not known under a load like this run's: it was measured {calibration.words()}{had}. "
            "Measure it for a plan with: migrascope calibrate PLAN"
        )
        return Finding("accuracy", "unknown", text)
    parts = [
        f"{row['layer']} against known {row['truth']}s {human(row['abs_error_median_s'], 's')} in the median, "
        f"{human(row['abs_error_p95_s'], 's')} at p95 ({row['n']})"
        for row in pooled
    ]
    under = "while nobody visited" if pooled[0]["load"] == "idle" else "under a load like this run's"
    text = f"The meter's own error here, {under}, finer than which nothing is said: {'; '.join(parts)}."
    return Finding("accuracy", "pass", text, {"rows": pooled})
