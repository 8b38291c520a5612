"""The report's section on OpenStack's own layers in the distribution's Chromium."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from cloudtrial import MS, record_run
from playwright.sync_api import Browser, Locator, Page

from migrascope.analysis.run import analyse
from migrascope.report.build import write_results

pytestmark = pytest.mark.browser
LANES = ["Nova: record", "Nova: server", "Neutron: port", "libvirt", "QEMU", "Network", "Visitor"]
WIDTHS = (360, 1200)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of two trials: in the second the network came 3 s after the instance."""
    made = record_run(tmp_path_factory.mktemp("runs"), [{}, {"late_ns": 3000 * MS, "early_ns": 0}])
    return write_results(made, analyse(made))


@pytest.fixture(params=WIDTHS)
def page(request: pytest.FixtureRequest, browser: Browser, report: Path) -> Iterator[Page]:
    """The report on a page that can reach nothing, without an error."""
    context = browser.new_context(viewport={"width": request.param, "height": 900}, offline=True)
    page, wrong = context.new_page(), list[str]()
    page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(report.as_uri())
    page.wait_for_selector("html[data-drawn]", state="attached")
    yield page
    assert wrong == []
    assert page.evaluate("document.documentElement.scrollWidth") <= request.param
    context.close()


def span(box: Locator) -> tuple[float, float]:
    """Left and right edge in pixels of the page."""
    found = box.bounding_box()
    assert found is not None
    return found["x"], found["x"] + found["width"]


def test_every_layer_has_a_lane_whose_boxes_fit(page: Page) -> None:
    figures = page.locator("#layers [data-layers='1'] figure")
    assert figures.count() == 2
    for figure in figures.all():
        lanes = figure.locator(".lane:not(.ticks)")
        assert [lane.locator("> span").inner_text() for lane in lanes.all()] == LANES
        for lane in lanes.all():
            left, right = span(lane.locator("> div"))
            edges = [span(box) for box in lane.locator("i").all()]
            assert edges
            assert all(left - 1 <= begin <= end <= right + 1 for begin, end in edges)
            assert all(before[1] <= after[0] + 1 for before, after in pairwise(edges))


def test_one_moment_is_at_one_place_in_every_lane(page: Page) -> None:
    close = page.locator("#layers [data-layers='1'] figure").nth(1)

    def box(lane: str, told: str) -> tuple[float, float]:
        return span(close.locator(f".lane:has(> span:text-is('{lane}')) i[title^='{told},']"))

    paused, gone, silent = box("QEMU", "paused"), box("QEMU", "runs on host-b"), box("Visitor", "no reply")
    assert paused[1] == pytest.approx(gone[0], abs=1)
    assert silent[0] <= paused[1]
    assert silent[1] > paused[1]


def test_the_chosen_trial_is_shown(page: Page) -> None:
    def shown() -> list[str | None]:
        every = page.locator("#layers [data-layers]").all()
        return [locator.get_attribute("data-layers") for locator in every if locator.is_visible()]

    assert shown() == [page.input_value("#chooser")]
    for number in ("1", "2"):
        page.select_option("#chooser", number)
        assert shown() == [number]
    lane = page.locator("#layers [data-layers='2'] figure").nth(1).locator("i[title^='to nobody,']")
    assert lane.count() == 1
    left, right = span(lane)
    assert right - left > 20


def test_the_tables_and_the_bars_say_the_same(page: Page) -> None:
    rows = page.locator("#steps tbody tr")
    names = [row.locator("td.word").first.inner_text() for row in rows.all()]
    assert "pre live migration" in names
    counts = page.locator("#downtimes tbody tr")
    assert counts.count() == 6
    assert "libvirt − VM pause" in counts.last.inner_text()
    bars = page.locator("#layers .budget span.bar")
    label = bars.first.get_attribute("aria-label") or ""
    for name in names:
        assert name in label
    left, right = span(bars.first)
    assert right > left
    parts = [span(part) for part in bars.first.locator("i").all()]
    assert all(left - 1 <= begin and end <= right + 1 for begin, end in parts)


def test_a_step_below_zero_is_hatched_left_of_zero_and_named(page: Page) -> None:
    """The journal's line that ends the step before comes after the first pass has begun."""
    bar = page.locator("#layers .budget span.bar").first
    zero = span(bar.locator("em"))[0]
    below, above = bar.locator("i.below"), bar.locator("i:not(.below)")
    assert {part.get_attribute("title") for part in below.all()} >= {"start -0.78 s"}
    assert all(span(part)[1] <= zero + 1 for part in below.all())
    assert all(span(part)[0] >= zero - 1 for part in above.all())
    for part in below.all():
        assert "gradient" in part.evaluate("part => getComputedStyle(part).backgroundImage")
    assert "start -0.78 s" in page.locator("#layers dd.below").first.inner_text()
