"""Markers that say what a test needs, and the results of the soak tier, which outlive a run of it."""

from pathlib import Path

import pytest

from needs import chromium, need_lab

SOAK = Path(__file__).parent.parent / "soak"


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("lab"):
        need_lab()
    if item.get_closest_marker("browser"):
        chromium()


class Kept:
    """Where a soak test leaves its result; the test is skipped when it has. `text`: the table that documents quote."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, text: str) -> None:
        """Keeps the result for good; called once, at the end of the test."""
        self.path.parent.mkdir(exist_ok=True)
        part = self.path.with_suffix(".part")
        part.write_text(text.rstrip("\n") + "\n", encoding="utf-8")
        part.replace(self.path)


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
