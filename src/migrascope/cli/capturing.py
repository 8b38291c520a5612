"""`qos`: what reads captures."""

import ipaddress
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

from cyclopts import Parameter

from migrascope.cli.console import Json, stdout
from migrascope.metrics.qos.examine import examine
from migrascope.model.problem import UsageProblem
from migrascope.model.units import parse_duration
from migrascope.report.qos import show
from migrascope.store.pcap.reader import STDIN

File = Annotated[Path, Parameter(allow_leading_hyphen=True)]
Server = Annotated[str | None, Parameter(name="--server", help="Only flows with this address.")]
Window = Annotated[str, Parameter(name="--window", help="The length of a window.")]


def qos(file: File, /, *, server: Server = None, window: Window = "1s", json: Json = False) -> int:
    """Prints delay, jitter, loss and throughput of each flow of a capture, from the packets alone.

    Parameters
    ----------
    file
        A capture: pcap or pcapng, as it is or compressed with gzip; - for the standard input.
    """
    window_s, address = _seconds(window), _address(server)
    with _until_its_writer_ends(file):
        found = examine(file, window_s=window_s, server=address)
    if json:
        for part in found.as_json():
            stdout().out(part, end="")
    else:
        show(found, stdout())
    return 0


@contextmanager
def _until_its_writer_ends(file: Path) -> Iterator[None]:
    """Of a pipe: Ctrl-C ends `tcpdump -w - | migrascope qos -` at the left, and what came until then is read to its
    end. A second one ends the reading."""
    if file != STDIN and not file.is_fifo() and file != Path("/dev/stdin"):
        yield
        return

    def once(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, once)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _seconds(text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise UsageProblem(f"--window: {error}") from error
    if seconds < 0.001:
        raise UsageProblem("--window: 1ms at least")
    return seconds


def _address(text: str | None) -> str | None:
    try:
        return text and str(ipaddress.ip_address(text))
    except ValueError as error:
        raise UsageProblem(f"--server: {text!r} is not an IP address") from error
