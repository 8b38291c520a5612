"""What the verbs share: where they print, the options that several have, and how they end when interrupted."""

import contextlib
import os
import signal
import unicodedata
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

Runs = Annotated[Path, Parameter(name="--runs", help="The folder of the run folders.")]
Json = Annotated[bool, Parameter(name="--json", negative="", help="JSON on standard output.")]
CloudName = Annotated[str | None, Parameter(name="--cloud", help="A cloud in clouds.yaml.")]
TestbedName = Annotated[str | None, Parameter(name="--testbed", help="The cloud of the testbed of this name.")]
EXIT_INTERRUPTED = 130


class Output(Console):
    """A terminal, or what stands for it. What is printed is text: names, reasons and logs of guests may hold markup and
    control sequences, which are shown and not obeyed."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """Rich's, of the text without control characters."""
        return super().render_str(visible(text), **options)

    def on_broken_pipe(self) -> None:
        """The reader is gone: nobody is written to from now on, and the command ends as it would."""
        self.quiet = True
        nobody = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nobody, self.file.fileno())
        os.close(nobody)


def visible(text: str) -> str:
    """Text with each control character but line ends and tabs as a replacement character."""
    return "".join("\ufffd" if unicodedata.category(word) == "Cc" and word not in "\n\t" else word for word in text)


def stdout() -> Console:
    """Where the result goes."""
    return Output()


def stderr() -> Console:
    """Where progress and errors go."""
    return Output(stderr=True)


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Modules are loaded meanwhile, and nothing is made yet: an interrupt ends the process at once. As an exception it
    could be lost, with its traceback on the terminal, in a callback of Python's import system."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    raising = [number for number, handler in before.items() if handler is signal.default_int_handler]
    for number in raising:
        signal.signal(number, lambda *_: os._exit(EXIT_INTERRUPTED))
    try:
        yield
    finally:
        for number in raising:
            signal.signal(number, before[number])


def interruptible(work: Coroutine[Any, Any, int]) -> int:
    """Runs to the end, or takes everything down at SIGINT and SIGTERM and gives 130."""
    import asyncio  # because the verbs that only read would start a tenth later

    async def wrapped() -> int:
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        return await work

    try:
        return asyncio.run(wrapped())
    except asyncio.CancelledError:
        return EXIT_INTERRUPTED
