"""python -m migrascope."""

from migrascope.cli import main

main()
