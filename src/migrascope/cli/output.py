"""JSON for programs."""

import json
from typing import Any

from migrascope.cli.console import stdout


def print_json(value: Any) -> None:
    """Prints JSON on standard output; a reader that goes away early is no error of ours."""
    stdout().out(json.dumps(value, indent=1))
