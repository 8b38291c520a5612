"""The campaigns of trials for predictions, of hours: what was interrupted goes on, and every trial becomes a row."""

from pathlib import Path

import pytest

from kept import SOAK, Kept
from lab.machine import migrascope
from migrascope.model.schedule import schedule
from migrascope.predict.collected import FILE
from migrascope.predict.dataset import table_of
from migrascope.study.plans import load

pytestmark = [pytest.mark.lab, pytest.mark.soak]
EXAMPLES = Path(__file__).parents[2] / "examples"
HOURS = 16
"""600 trials of half a minute, and as much again for a slower machine."""


@pytest.mark.parametrize("name", ["campaign", "campaign-loads", "campaign-advice"])
def test_a_campaign_goes_on_until_every_trial_is_a_row(name: str, kept: Kept) -> None:
    """Migrations that fail or do not end are rows, too."""
    path, runs, data = EXAMPLES / f"{name}.toml", SOAK / name, SOAK / f"{name}-data"
    begun = ["--resume", "-1"] if (runs / "latest").exists() else [str(path)]
    done = migrascope("run", *begun, "--runs", str(runs), timeout_s=3600 * HOURS)
    assert done.returncode in (0, 1, 3, 4), done.stderr
    said = migrascope(
        "data", "-1", str(data), "--beside", "nothing, ./test --soak", "--runs", str(runs), timeout_s=3600
    )
    assert said.returncode == 0, said.stderr
    table = table_of(data / FILE)
    assert table.height == len(schedule(load(str(path))))
    kept.write("\n".join(f"{status}: {count}" for status, count in sorted(table["status"].value_counts().rows())))
