"""Each query of the dashboard in docs/grafana, asked of a real Prometheus that scrapes an observation and runs."""

import contextlib
import json
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from migrascope.model.plan import Plan
from migrascope.study.plans import text_of
from needs import prometheus_program

pytestmark = pytest.mark.lab
DOCS = Path(__file__).parents[2] / "docs"
BOARD = json.loads((DOCS / "grafana/migrascope.json").read_text(encoding="utf-8"))
VARIABLES = {"$__rate_interval": "30s", "$__range": "5m", "$target": ".*"}
"""What Grafana would put in."""
LIMIT_S = 120.0


def queries() -> list[str]:
    """What the panels ask for, what fills the variables, and what the alerts on the page compare."""
    found = [target["expr"] for panel in BOARD["panels"] for target in panel.get("targets", [])]
    for variable in BOARD["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = re.findall(r"label_values\((\w+), (\w+)\)", variable["definition"])[0]
            found.append(f"count by ({label}) ({metric})")
    page = (DOCS / "dashboards.md").read_text(encoding="utf-8")
    (alerts,) = re.findall(r"```\n((?:.* > [0-9]+\n)+)```", page)
    found += [alert.rpartition(" > ")[0] for alert in alerts.splitlines()]
    for name, value in VARIABLES.items():
        found = [query.replace(name, value) for query in found]
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.2)


@dataclass(frozen=True)
class Prometheus:
    """One that runs."""

    url: str

    def get(self, path: str, **parameters: str) -> Any:
        with urllib.request.urlopen(f"{self.url}{path}?{urllib.parse.urlencode(parameters)}") as answer:
            return json.loads(answer.read())

    def values(self, query: str) -> list[float]:
        """What a query gives now, but for what is no number."""
        result = self.get("/api/v1/query", query=query)["data"]["result"]
        return [value for row in result if (value := float(row["value"][1])) == value]

    def is_ready(self) -> bool:
        with contextlib.suppress(urllib.error.URLError, ConnectionError), urllib.request.urlopen(f"{self.url}/-/ready"):
            return True
        return False


@contextlib.contextmanager
def started(argv: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as file, subprocess.Popen(argv, stdout=file, stderr=file, cwd=log.parent) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """It has scraped an observation with an outage, a command that moves nothing, and a run on the fake lab."""
    program = prometheus_program()
    folder = tmp_path_factory.mktemp("prometheus")
    ports = {job: free_port() for job in ("observation", "command", "run")}
    server, port = socket.create_server(("127.0.0.1", 0), backlog=1000), free_port()
    observed = server.getsockname()[1]
    scrapes = [{"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{at}"]}]} for job, at in ports.items()]
    config = {"global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "scrape_configs": scrapes}
    (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    plan = Plan.model_validate({"name": "many", "blocks": 400, "lab": {"kind": "fake"}, "axes": {"scenario": ["none"]}})
    (folder / "plan.toml").write_text(text_of(plan))
    observe = ["observe", "127.0.0.1", "--port", str(observed)]
    commands = {
        "observation": [*observe, "--json"],
        "command": [*observe, "--repeat", "100", "--pause", "0s", "--command", "true"],
        "run": ["run", "plan.toml"],
    }
    argv = [
        program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn",
    ]  # fmt: skip
    with contextlib.ExitStack() as stack:
        stack.enter_context(started(argv, folder / "prometheus.log"))
        for job, words in commands.items():
            argv = [sys.executable, "-m", "migrascope", *words, "--metrics", f"127.0.0.1:{ports[job]}"]
            stack.enter_context(started(argv, folder / f"{job}.log"))
        there = Prometheus(f"http://127.0.0.1:{port}")
        until(there.is_ready, "Prometheus")
        until(lambda: sum(there.values("migrascope_probes_answered_total")) > 200, "replies")
        until(lambda: sum(there.values("migrascope_migrations_total")) > 1, "a trial that is over")
        server.close()
        threading.Event().wait(1.5)
        server = socket.create_server(("127.0.0.1", observed), backlog=1000)
        stack.callback(lambda: server.close())
        until(lambda: sum(there.values("migrascope_blackout_seconds_count")) > 0, "a blackout")
        until(lambda: sum(there.values("rate(migrascope_blackout_seconds_count[30s])")) > 0, "its rate")
        yield there


@pytest.mark.parametrize("query", queries())
def test_each_query_returns_a_value(prometheus: Prometheus, query: str) -> None:
    assert prometheus.values(query), query


def test_a_metric_that_is_not_there_returns_none(prometheus: Prometheus) -> None:
    assert prometheus.values("migrascope_never_total") == []


def test_prometheus_finds_nothing_wrong_with_any_scrape(prometheus: Prometheus) -> None:
    assert prometheus.values("count(up == 1)") == [3]
    for target in prometheus.get("/api/v1/targets")["data"]["activeTargets"]:
        assert target["lastError"] == ""
