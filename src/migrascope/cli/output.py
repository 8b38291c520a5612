"""JSON for programs."""

from collections.abc import Callable, Iterable
from json import dumps
from typing import Any

from migrascope.cli.console import stdout


def print_json(value: Any) -> None:
    """Prints JSON on standard output; a reader that goes away early is no error of ours."""
    stdout().out(dumps(value, indent=1))


def print_either(document: Callable[[], Any], lines: Callable[[], Iterable[str]], *, json: bool) -> None:
    """A document for programs, or lines for people, of which one alone is made."""
    if json:
        print_json(document())
        return
    for line in lines():
        stdout().print(line, soft_wrap=True)
