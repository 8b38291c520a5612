"""Results of the soak tier, which outlive a run of it."""

from pathlib import Path

SOAK = Path(__file__).parent.parent / "soak"


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
