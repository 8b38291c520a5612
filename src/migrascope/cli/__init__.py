"""The command line: every module here adds its verbs to the one app."""

from migrascope.cli import calibrating, doctoring, looking, running
from migrascope.cli.main import main

__all__ = ["calibrating", "doctoring", "looking", "main", "running"]
