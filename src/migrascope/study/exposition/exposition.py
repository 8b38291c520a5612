"""Metrics for Prometheus: served by HTTP, or in a file for the node exporter's textfile collector.

Whoever measures publishes whole lists of metrics; scrapes and writes are threads of their own, which take the newest
list and never wait for a measurement.
"""

import contextlib
import ipaddress
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from migrascope import __version__
from migrascope.model.problem import Problem, UsageProblem
from migrascope.store.atomic import write_whole

EVERY_S = 1.0
"""A file is written anew no more often."""
SUFFIX = ".prom"
_FIRST = "migrascope_build_info"
_SERVED = re.compile(r"(?P<host>\[[^\]/]+\]|[^/\[\]]*):(?P<port>[0-9]{1,5})")
_MOST_PORT = 65535
_WANTED = f"a file, as NAME{SUFFIX}, or an address and a port, as 127.0.0.1:9400"


@dataclass(frozen=True)
class Place:
    """Where metrics go: into a file, or to whoever asks at an address and port."""

    file: Path | None = None
    address: str = ""
    port: int = 0

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return str(self.file) if self.file is not None else f"http://{host}:{self.port}/metrics"


def place_of(text: str) -> Place:
    """The place that an option names. UsageProblem where it names none."""
    if text.endswith(SUFFIX) and Path(text).name != SUFFIX:
        return Place(Path(text))
    served = _SERVED.fullmatch(text)
    if served is None:
        why = f"; the textfile collector reads only files whose names end in {SUFFIX}" if "/" in text else ""
        raise UsageProblem(f"--metrics {text!r}: {_WANTED}{why}")
    host, port = served["host"].strip("[]"), int(served["port"])
    if not 0 < port <= _MOST_PORT:
        raise UsageProblem(f"--metrics {text!r}: a port is 1 to {_MOST_PORT}")
    if not host:
        raise UsageProblem(f"--metrics {text!r}: say where: 127.0.0.1:{port} for this machine alone")
    try:
        address = "127.0.0.1" if host == "localhost" else str(ipaddress.ip_address(host))
    except ValueError:
        raise UsageProblem(f"--metrics {text!r}: {host!r} is no address; it wants {_WANTED}") from None
    return Place(None, address, port)


class Exposition(Collector):
    """The newest metrics that were published, and whether more will come."""

    def __init__(self) -> None:
        self._published: Sequence[Metric] = ()
        self._running = True
        self._began_s = time.time()

    def publish(self, metrics: Sequence[Metric]) -> None:
        """Shows these from now on, in place of those before."""
        self._published = metrics

    def end(self) -> None:
        """No more will come."""
        self._running = False

    def collect(self) -> Iterable[Metric]:
        build = GaugeMetricFamily(_FIRST, "The version of Migrascope that measures.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build
        words = "Whether it is still measured: 0 in a file that an observation or a run has left at its end."
        yield GaugeMetricFamily("migrascope_running", words, self._running)
        words = "When the observation or the run began."
        yield GaugeMetricFamily("migrascope_start_timestamp_seconds", words, self._began_s)
        yield from self._published


@contextlib.contextmanager
def exposed(place: Place, warn: Callable[[str], None]) -> Iterator[Exposition]:
    """While the block runs, its metrics are there. warn: takes what goes wrong meanwhile, once, for a measurement does
    not end because of it. Problem where nothing can be written or served."""
    exposition, registry = Exposition(), CollectorRegistry()
    registry.register(exposition)
    with _served(place, registry) if place.file is None else _written(place.file, registry, exposition, warn):
        yield exposition


@contextlib.contextmanager
def _served(place: Place, registry: CollectorRegistry) -> Iterator[None]:
    """Without those who ask for metrics while this ends: they get no answer."""
    try:
        server, thread = start_http_server(place.port, place.address, registry)
    except OSError as error:
        raise Problem(
            f"--metrics: nothing can be served at {place.address} port {place.port}: {error.strerror}\n"
            "  next: another port, or an address of this machine"
        ) from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def _written(
    file: Path, registry: CollectorRegistry, exposition: Exposition, warn: Callable[[str], None]
) -> Iterator[None]:
    """The file stays at the end, with the last figures: a scrape that comes later would else miss them."""
    _need_ours(file)
    ended, warned = threading.Event(), list[str]()

    def write() -> None:
        write_whole(file, generate_latest(registry), durable=False)

    def write_or_warn() -> None:
        try:
            write()
        except OSError as error:
            if not warned:
                warned.append(str(error))
                warn(f"--metrics: {file} cannot be written any more: {error.strerror}; what is measured goes on")

    def keep_writing() -> None:
        while not ended.wait(EVERY_S):
            write_or_warn()

    try:
        write()
    except OSError as error:
        raise Problem(
            f"--metrics: {file} cannot be written: {error.strerror}\n  next: a folder that is there and may be written"
        ) from error
    thread = threading.Thread(target=keep_writing, name="metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        exposition.end()
        write_or_warn()


def _need_ours(file: Path) -> None:
    """Problem where there is something else than an earlier file of metrics of ours."""
    try:
        if not file.exists():
            return
        with file.open("rb") as there:
            ours = there.read(len(f"# HELP {_FIRST}")) in (b"", f"# HELP {_FIRST}".encode())
    except OSError as error:
        raise Problem(f"--metrics: {file}: {error.strerror}") from error
    if not ours:
        raise Problem(f"--metrics: {file} holds something else, and is not overwritten\n  next: another name")
