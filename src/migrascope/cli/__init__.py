"""The command line: every module here adds its verbs to the one app."""

from migrascope.cli import calibrating, looking, running
from migrascope.cli.main import main

__all__ = ["calibrating", "looking", "main", "running"]
