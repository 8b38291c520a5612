"""The matrix of disturbances in the distribution's Chromium."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from fakerun import fake_run
from migrascope.analysis.run import analyse
from migrascope.model.plan import Plan
from migrascope.report.build import write_results

pytestmark = pytest.mark.browser
PHASES = ("setup", "first-copy", "round:2", "round:3", "switchover", "finish")
TABLES = [
    {"name": f"cut-{at}", "kind": "link-down", "target": "migration", "when": phase, "duration": "1s"}
    for at, phase in enumerate(PHASES)
]
AXES = {"scenario": ["none"], "disturbance": [table["name"] for table in TABLES]}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    plan = Plan.model_validate({"blocks": 1, "axes": AXES, "disturbance": TABLES})
    made = fake_run(tmp_path_factory.mktemp("runs"), plan)
    return write_results(made, analyse(made))


def test_a_row_keeps_its_name_in_sight_at_every_column(browser: Browser, report: Path) -> None:
    page = browser.new_page(viewport={"width": 600, "height": 900})
    page.goto(report.as_uri())
    table = page.locator("#failures .scroll")
    moved = table.evaluate("table => { table.scrollLeft = table.scrollWidth; return table.scrollLeft }")
    assert moved > 100
    frame = table.bounding_box()
    assert frame is not None
    for name in (table.locator("tbody th"), table.locator("thead th").first):
        box = name.bounding_box()
        assert box is not None
        assert box["x"] == pytest.approx(frame["x"], abs=2)
    page.close()
