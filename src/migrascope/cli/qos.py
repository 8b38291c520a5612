"""`qos`: what reads captures."""

import ipaddress
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Annotated

from cyclopts import Parameter

from migrascope.cli.console import Json, stdout
from migrascope.model.problem import UsageProblem
from migrascope.model.units import parse_duration
from migrascope.qos.examine import Around, examine
from migrascope.qos.result import Qos
from migrascope.qos.table import table
from migrascope.qos.text import show
from migrascope.store.atomic import write_whole
from migrascope.store.pcap.reader import STDIN

File = Annotated[Path, Parameter(allow_leading_hyphen=True)]
Server = Annotated[str | None, Parameter(name="--server", help="Only flows with this address.")]
Least = Annotated[str, Parameter(name="--silence", help="Shorter silences are left out.")]
AroundTime = Annotated[
    str | None,
    Parameter(name="--around", help="Only silences near this time (12.5s after the begin, or a date and time in UTC)."),
]
Page = Annotated[Path | None, Parameter(name="--html", help="Writes a page with pictures into this file.")]
Csv = Annotated[bool, Parameter(name="--csv", negative="", help="A row for each flow's direction.")]
Window = Annotated[str, Parameter(name="--window", help="The length of a window.")]


def qos(
    file: File, /, *, server: Server = None, window: Window = "1s", silence: Least = "100ms", around: AroundTime = None,
    html: Page = None, csv: Csv = False, json: Json = False,
) -> int:  # fmt: skip
    """Prints delay, jitter, loss, throughput and silences of each flow of a capture, from the packets alone.

    Parameters
    ----------
    file
        A capture: pcap or pcapng, as it is or compressed with gzip; - for the standard input.
    """
    if csv and json:
        raise UsageProblem("--csv and --json: only one of them")
    if html is not None and html.exists():
        raise UsageProblem(f"--html: {html} is there already; remove it or give another name")
    if html is not None and not html.parent.is_dir():
        raise UsageProblem(f"--html: {html} cannot be written: there is no folder {html.parent}")
    window_s, least_s, time = _seconds("--window", window), _seconds("--silence", silence), _around(around)
    with _until_its_writer_ends(file):
        found = examine(file, window_s=window_s, server=_address(server), silence_s=least_s, around=time)
    if html is not None:
        write_page(html, found)
    if json:
        for part in found.as_json():
            stdout().out(part, end="")
    elif csv:
        stdout().out(table(found), end="")
    else:
        show(found, stdout())
    return 0


def write_page(path: Path, found: Qos) -> None:
    """Writes the page, whole or not at all. UsageProblem where it cannot be written."""
    from migrascope.qos.page import page

    try:
        write_whole(path, page(found))
    except OSError as error:
        raise UsageProblem(f"--html: {path} cannot be written: {error.strerror}") from error


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


def _seconds(option: str, text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise UsageProblem(f"{option}: {error}") from error
    if seconds < 0.001:
        raise UsageProblem(f"{option}: 1ms at least")
    return seconds


def _around(text: str | None) -> Around | None:
    if text is None:
        return None
    try:
        return Around(round(parse_duration(text) * 1e9), absolute=False)
    except (ValueError, OverflowError):
        pass
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageProblem(
            f"--around: {text!r} is neither a time after the capture's begin, as in 12.5s, nor a date and time, as in "
            "2026-03-01T12:00:00Z"
        ) from error
    return Around(round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1e9), absolute=True)


def _address(text: str | None) -> str | None:
    try:
        return text and str(ipaddress.ip_address(text))
    except ValueError as error:
        raise UsageProblem(f"--server: {text!r} is not an IP address") from error
