"""`qos`: what reads captures."""

import ipaddress
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from migrascope.cli.console import Json, stdout
from migrascope.metrics.qos.examine import examine
from migrascope.model.problem import UsageProblem
from migrascope.model.units import parse_duration
from migrascope.report.qos import show

Server = Annotated[str | None, Parameter(name="--server", help="Only flows with this address.")]
Window = Annotated[str, Parameter(name="--window", help="The length of a window.")]


def qos(file: Path, /, *, server: Server = None, window: Window = "1s", json: Json = False) -> int:
    """Prints delay, jitter, loss and throughput of each flow of a capture, from the packets alone.

    Parameters
    ----------
    file
        A capture: pcap or pcapng, as it is or compressed with gzip.
    """
    found = examine(file, window_s=_seconds(window), server=_address(server))
    if json:
        for part in found.as_json():
            stdout().out(part, end="")
    else:
        show(found, stdout())
    return 0


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
