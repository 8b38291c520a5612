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
        path.write_text(with_table(path.read_text("utf-8"), table.rstrip()), encoding="utf-8")
    path = DOCS / "metrics/ipv6.md"
    keys = catalogue.keys_over_ipv6()
    path.write_text(re.sub(r"^Keys: .*\n", lambda _: keys, path.read_text("utf-8"), flags=re.M), encoding="utf-8")


def with_table(text: str, table: str) -> str:
    """`text` with its table of the same head replaced by `table`."""
    head = re.escape(table.splitlines()[0])
    return re.sub(rf"^{head}\n(\|.*\n?)+", lambda _: f"{table}\n", text, flags=re.M)


if __name__ == "__main__":
    main()
