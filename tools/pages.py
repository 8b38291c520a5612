"""Writes the pages of docs/ that the code holds: one for each kind of disturbance, and the lists of kinds and metrics.

.venv/bin/python tools/pages.py
"""

import re
from pathlib import Path

from migrascope.metrics import catalogue
from migrascope.model import kinds

DOCS = Path(__file__).parent.parent / "docs"


def main() -> None:
    for kind in kinds.KINDS.values():
        (DOCS / f"disturbances/{kind.name}.md").write_text(kind.page(), encoding="utf-8")
    for page, table in (("disturbances", kinds.index()), ("metrics", catalogue.index())):
        path = DOCS / page / "README.md"
        head = re.escape(table.splitlines()[0])
        text = re.sub(
            rf"^{head}\n(\|.*\n?)+", lambda _, new=table.rstrip(): f"{new}\n", path.read_text("utf-8"), flags=re.M
        )
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
