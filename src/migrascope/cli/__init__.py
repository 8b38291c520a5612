"""The command line."""

from migrascope.cli.main import main

__all__ = ["main"]
