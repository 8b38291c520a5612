"""A Python environment in which a package is missing or broken. Standard library only: nothing else may be there."""

import os
import sys
from pathlib import Path

MARK = "broken"


def say(error: ImportError, environment: Path = Path(sys.prefix)) -> int:
    """Says what is missing and what to do; the exit code. An environment that ./migrascope made is marked, so that its
    next start makes it anew."""
    stamps = list(environment.glob("*.stamp"))
    if stamps and os.access(environment, os.W_OK):
        (environment / MARK).touch()
        for stamp in stamps:
            stamp.unlink()
        todo = "the same command again: it sets the environment up anew"
    else:
        todo = f"install Migrascope anew, in the environment {environment}"
    sys.stderr.write(f"migrascope: a Python package is missing or broken: {error}\n  next: {todo}\n")
    return 4
