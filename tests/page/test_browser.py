"""The report in the distribution's Chromium: no network, no error, and everything that moves."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from fakerun import fake_run
from migrascope.analysis.run import analyse
from migrascope.model.plan import Plan
from migrascope.report.build import write_results

pytestmark = pytest.mark.browser
PLAN = Plan.model_validate({"blocks": 1, "lab": {"kind": "fake"}, "axes": {"scenario": ["none", "relay"]}})
PANELS = 7


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = fake_run(tmp_path_factory.mktemp("runs"), PLAN)
    return write_results(made, analyse(made))


class Opened:
    """The report on a page that can reach nothing, and what went wrong there."""

    def __init__(self, page: Page, report: Path) -> None:
        self.page, self.wrong = page, list[str]()
        page.on("console", lambda said: self.wrong.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("request", lambda asked: None if asked.url == report.as_uri() else self.wrong.append(asked.url))
        page.goto(report.as_uri())
        page.wait_for_selector("html[data-drawn]", state="attached")

    def cursors(self) -> list[float]:
        """Where the cursor stands in each panel, in pixels of the page."""
        boxes = self.page.locator('#trial-axis svg line[style*="--accent"], #trial-axis svg line[stroke*="--accent"]')
        return [box["x"] for line in boxes.all() for box in [line.bounding_box()] if box]


@pytest.fixture(params=["light", "dark"])
def opened(request: pytest.FixtureRequest, browser: Browser, report: Path) -> Iterator[Opened]:
    context = browser.new_context(viewport={"width": 1200, "height": 900}, color_scheme=request.param, offline=True)
    yield Opened(context.new_page(), report)
    context.close()


def test_no_error_and_no_network(opened: Opened) -> None:
    assert opened.wrong == []
    assert opened.page.locator("#trial-axis svg").count() == 1
    assert opened.page.locator("#scatter-time svg").count() == 1


def test_chooser_swaps_the_trial(opened: Opened) -> None:
    numbers = [option.get_attribute("value") for option in opened.page.locator("#chooser option").all()]
    assert len(numbers) == 2
    seen = []
    for number in numbers:
        opened.page.select_option("#chooser", number)
        opened.page.wait_for_timeout(200)
        seen.append((opened.page.inner_text("#marks"), opened.page.inner_html("#trial-axis svg")))
    assert seen[0][0] != seen[1][0]
    assert seen[0][1] != seen[1][1]
    assert "no player in this scenario" in seen[0][1]
    assert "no player in this scenario" not in seen[1][1]
    assert opened.wrong == []


def test_cursor_moves_on_all_panels(opened: Opened) -> None:
    opened.page.locator("#trial-axis").scroll_into_view_if_needed()
    box = opened.page.locator("#trial-axis svg").bounding_box()
    assert box is not None
    places = []
    for share in (0.4, 0.7):
        x = box["x"] + share * box["width"]
        opened.page.mouse.move(x, box["y"] + 100)
        opened.page.wait_for_timeout(200)
        cursors = opened.cursors()
        assert len(cursors) == PANELS
        assert max(cursors) - min(cursors) < 1
        assert abs(cursors[0] - x) < 12
        places.append(opened.page.inner_text("#readout"))
    assert places[0] != places[1]
    assert "delay" in places[0]


def test_cursor_follows_the_keyboard(opened: Opened) -> None:
    opened.page.focus("#trial-axis")
    opened.page.keyboard.press("Home")
    first = opened.page.inner_text("#readout")
    opened.page.keyboard.press("ArrowRight")
    assert opened.page.inner_text("#readout") != first


def test_switchover_from_near(opened: Opened) -> None:
    whole = opened.page.inner_html("#trial-axis svg")
    opened.page.locator("text=switchover >> visible=true").last.scroll_into_view_if_needed()
    opened.page.locator("input[value=switchover]").check(force=True)
    opened.page.wait_for_timeout(200)
    assert opened.page.inner_html("#trial-axis svg") != whole
    assert opened.wrong == []


def test_dark_and_light_differ(browser: Browser, report: Path) -> None:
    colours = []
    for scheme in ("light", "dark"):
        context = browser.new_context(color_scheme="dark" if scheme == "dark" else "light", offline=True)
        page = Opened(context.new_page(), report).page
        colours.append(
            page.evaluate(
                "[getComputedStyle(document.body).backgroundColor,"
                " getComputedStyle(document.querySelector('#trial-axis svg text')).fill]"
            )
        )
        context.close()
    assert colours[0][0] != colours[1][0]
    assert colours[0][1] != colours[1][1]


@pytest.mark.parametrize("width", [360, 800])
def test_narrow_pages_do_not_scroll_sideways(browser: Browser, report: Path, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, offline=True)
    opened = Opened(context.new_page(), report)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    opened.page.set_viewport_size({"width": width + 300, "height": 800})
    opened.page.wait_for_timeout(400)
    box = opened.page.locator("#trial-axis svg").bounding_box()
    assert box is not None
    assert box["width"] > width - 60
    assert opened.wrong == []
    context.close()
