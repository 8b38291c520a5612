"""Markers that say what a test needs, and the results of the soak tier, which outlive a run of it."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from markupsafe import Markup

from kept import SOAK, Kept
from migrascope.qos import page
from migrascope.report.page import html
from needs import chromium, need_lab

settings.register_profile("however-busy", deadline=None)  # how long one example takes is the machine's affair
settings.load_profile("however-busy")


UNMARKED = {Path(__file__).parent / name for name in ("unit", "command")}
MARKS = ("lab", "browser", "soak")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Outside of UNMARKED each test has a mark: ./test looks for those without one in these folders alone."""
    lost = [
        test.nodeid
        for test in items
        if not _unmarked(test) and not any(test.get_closest_marker(mark) for mark in MARKS)
    ]
    if lost:
        raise pytest.UsageError(
            f"outside of tests/unit and tests/command and without a mark of {', '.join(MARKS)}: {lost[0]}"
        )


def _unmarked(test: pytest.Item) -> bool:
    return not UNMARKED.isdisjoint(test.path.parents)


@pytest.fixture(scope="session", autouse=True)
def _pages_cannot_draw(request: pytest.FixtureRequest) -> Iterator[None]:
    """Where no lab and no browser is to be tested, pages hold a word in place of the script that draws their charts,
    because it takes two seconds of each process to make it. unit/report/test_page.py has the script itself."""
    with pytest.MonkeyPatch.context() as patch:
        if all(map(_unmarked, request.session.items)):
            for module in (html, page):
                patch.setattr(module, "libraries", lambda: Markup("/* draws the charts */"))
        yield


def pytest_collection() -> None:
    gc.disable()


def pytest_collection_finish() -> None:
    """Modules and tests stay to the end: to look for garbage among them takes as long as to collect them."""
    gc.freeze()
    gc.enable()


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("lab"):
        need_lab()
    if item.get_closest_marker("browser"):
        chromium()


@pytest.fixture
def kept(request: pytest.FixtureRequest) -> Kept:
    """The result of this soak test, which is not run again while soak/TEST.txt is there."""
    name = request.node.name.translate(str.maketrans("[]/ ", "--__")).rstrip("-")
    result = Kept(SOAK / f"{name}.txt")
    if result.path.exists():
        pytest.skip(f"has its result in {result.path}; remove that to run it again")
    return result


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.option.markexpr == "soak":
        for path in sorted(SOAK.glob("*.txt")):
            terminalreporter.section(path.stem)
            terminalreporter.write(path.read_text(encoding="utf-8"))
