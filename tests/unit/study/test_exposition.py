"""`--metrics`: what Prometheus reads of an observation and of a run, by HTTP and in a file."""

import json
import re
import socket
import threading
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import pytest
from commandline import migrascope
from exposed import in_file, named, samples
from faketrial import FACTORS, light, record
from observedrun import PROGRESS
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics

from migrascope.metrics.sliding import RTT_EDGES_S, Sliding
from migrascope.model.measured import Measured, missing
from migrascope.model.observation import BackOff, Blackout, OwnLateness, Target
from migrascope.model.problem import UsageProblem
from migrascope.model.schedule import TrialSpec
from migrascope.node.wait import wait_until
from migrascope.study.exposition import exposition as exposing
from migrascope.study.exposition import observed as of_observations
from migrascope.study.exposition import runs
from migrascope.study.exposition.exposition import Exposition, Place, exposed, place_of
from migrascope.study.exposition.observed import ObservationMetrics
from migrascope.study.exposition.runs import RunMetrics
from migrascope.study.observation.observe import View
from migrascope.study.observation.signs import Beside
from migrascope.study.plans import text_of

DOCS = Path(__file__).parents[3] / "docs"
OF = {"time": "2026-03-01T14:03:22.118+01:00", "name": "vm", "address": "192.0.2.1"}
TARGET = Target(name="vm", address="192.0.2.1", way="icmp-ping", port=0, rate=10, why="", answers=True)
BLACKOUT = Blackout(**OF, seconds=0.2, bound_s=0.1, low_s=0.1, high_s=0.3, lost=2, late=False, at_least=False)
THREE = [TrialSpec(number, 1, FACTORS, "host-a", "host-b") for number in (1, 2, 3)]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("127.0.0.1:9400", Place(None, "127.0.0.1", 9400)),
        ("localhost:9400", Place(None, "127.0.0.1", 9400)),
        ("192.0.2.1:80", Place(None, "192.0.2.1", 80)),
        ("[::1]:9400", Place(None, "::1", 9400)),
        ("a.prom", Place(Path("a.prom"))),
        ("/var/lib/x/a:1.prom", Place(Path("/var/lib/x/a:1.prom"))),
    ],
)
def test_a_place_is_a_file_or_an_address_with_a_port(text: str, place: Place) -> None:
    assert place_of(text) == place


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "a file, as NAME.prom, or an address and a port"),
        ("9400", "a file, as NAME.prom, or an address and a port"),
        ("127.0.0.1", "a file, as NAME.prom, or an address and a port"),
        (":9400", "say where: 127.0.0.1:9400 for this machine alone"),
        ("127.0.0.1:0", "a port is 1 to 65535"),
        ("127.0.0.1:65536", "a port is 1 to 65535"),
        ("host.example:9400", "'host.example' is no address"),
        ("300.0.0.1:9400", "'300.0.0.1' is no address"),
        ("folder/metrics.txt", "reads only files whose names end in .prom"),
        (".prom", "a file, as NAME.prom"),
    ],
)
def test_what_is_no_place_is_said(text: str, words: str) -> None:
    with pytest.raises(UsageProblem, match=re.escape(words)):
        place_of(text)


def test_a_run_leaves_its_trials_in_the_file_and_resuming_it_shows_them_again(tmp_path: Path) -> None:
    plan = light(blocks=2, lab={"kind": "fake"}, axes={"scenario": ["none"]})
    (tmp_path / "plan.toml").write_text(text_of(plan))
    assert migrascope("run", "plan.toml", "--metrics", "run.prom", folder=tmp_path).code == 0
    found = in_file(tmp_path / "run.prom")
    cell = {"scenario": "none", "policy": "pre-copy"}
    assert named(found, "migrascope_migrations_total", outcome="ok", **cell) == 2
    assert named(found, "migrascope_trials_planned") == named(found, "migrascope_trial_number") == 2
    for figure in runs.FIGURES:
        unknown = [
            named(found, "migrascope_figures_unknown_total", figure=figure.name, reason=reason)
            for reason in ("cut-off", "not-measured")
        ]
        assert named(found, f"migrascope_{figure.name}_count", **cell) + sum(unknown) == 2
    assert named(found, "migrascope_vm_pause_seconds_count", **cell) == 2
    assert migrascope("run", "--resume", "-1", "--metrics", "again.prom", folder=tmp_path).code == 0
    again = in_file(tmp_path / "again.prom")
    assert named(again, "migrascope_migrations_total", outcome="ok", **cell) == 2


@pytest.fixture(params=["observe", "run"])
def command(request: pytest.FixtureRequest, port: int) -> list[str]:
    if request.param == "run":
        return ["run", "--quick", "--lab", "fake"]
    return ["observe", "127.0.0.1", "--port", str(port), "--for", "1s"]


def test_nothing_begins_where_metrics_have_no_place(command: list[str], port: int, tmp_path: Path) -> None:
    (tmp_path / "others.prom").write_text("node_time_seconds 1\n")
    (tmp_path / "folder.prom").mkdir()
    for place, code, words in [
        (f"127.0.0.1:{port}", 4, f"nothing can be served at 127.0.0.1 port {port}: Address already in use\n  next:"),
        ("192.0.2.1:9400", 4, "nothing can be served at 192.0.2.1 port 9400: Cannot assign requested address"),
        ("none/vm.prom", 4, "none/vm.prom cannot be written: No such file or directory\n  next: a folder"),
        ("/proc/vm.prom", 4, "/proc/vm.prom cannot be written: "),
        ("folder.prom", 4, "folder.prom: Is a directory"),
        ("others.prom", 4, "others.prom holds something else, and is not overwritten\n  next: another name"),
        ("nowhere", 2, "--metrics 'nowhere': a file, as NAME.prom"),
    ]:
        ended = migrascope(*command, "--metrics", place, folder=tmp_path)
        assert (ended.code, ended.stdout) == (code, ""), place
        assert words in ended.stderr
    assert (tmp_path / "others.prom").read_text() == "node_time_seconds 1\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.prom", "others.prom"]


def test_what_is_served_is_valid_openmetrics_and_ends_with_the_block() -> None:
    place = Place(None, "127.0.0.1", free_port())
    threads = threading.active_count()
    with exposed(place, pytest.fail) as exposition:
        counts = RunMetrics(PROGRESS, exposition.publish)
        counts.plan(THREE, 0, 1.0)
        asked = urllib.request.Request(str(place), headers={"Accept": "application/openmetrics-text; version=1.0.0"})
        with urllib.request.urlopen(asked) as answer:
            assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
            found = samples(list(openmetrics(answer.read().decode())))  # type: ignore[no-untyped-call]
    assert named(found, "migrascope_running") == 1
    assert named(found, "migrascope_trials_planned") == 3
    deadline = time.monotonic() + 60
    while threading.active_count() > threads:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with socket.create_server(("127.0.0.1", place.port)):
        pass


async def test_a_file_is_written_anew_while_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposing, "EVERY_S", 0.01)
    folder, warned = tmp_path / "folder", list[str]()
    file = folder / "a.prom"
    folder.mkdir()
    with exposed(Place(file), warned.append) as exposition:
        RunMetrics(PROGRESS, exposition.publish).plan(THREE, 0, 1.0)

        async def written() -> bool:
            return "migrascope_trials_planned 3.0" in file.read_text()

        await wait_until(written, 60, "the file is written anew")
        assert named(in_file(file), "migrascope_running") == 1
        folder.rename(tmp_path / "gone")

        async def refused() -> bool:
            return bool(warned)

        await wait_until(refused, 60, "it cannot be written")
        (tmp_path / "gone").rename(folder)
    assert len(warned) == 1
    assert f"{file} cannot be written any more: No such file or directory; what is measured goes on" in warned[0]
    assert named(in_file(file), "migrascope_running") == 0


def view() -> View:
    """49 probes, of which the first is lost and the second was answered late."""
    window, now = Sliding(10, 0.5), time.monotonic_ns()
    sent = [(seq, now - (50 - seq) * 10**8) for seq in range(49)]
    window.add(sent, [(seq, at + (2 * 10**8 if seq == 1 else 10**6)) for seq, at in sent if seq != 0])
    return View(TARGET, window, Beside(""), heard=True)


def test_events_and_views_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_observations, "_EVERY_S", 3600.0)
    published: list[Sequence[Metric]] = []
    counts = ObservationMetrics(published.append)
    counts.tell(BLACKOUT)
    counts.tell(BLACKOUT.model_copy(update={"seconds": 0.3, "kept": True, "paused_s": 0.19, "paused_bound_s": 0.001}))
    counts.tell(BLACKOUT.model_copy(update={"seconds": 0.05, "kept": False}))
    counts.tell(BLACKOUT.model_copy(update={"at_least": True, "seconds": 9.0}))
    counts.tell(OwnLateness(time=OF["time"], seconds=0.4))
    counts.tell(OwnLateness(time=OF["time"], seconds=0.0))
    counts.tell(BackOff(**OF, seconds=10, why="HTTP: status 429"))
    counts.show([view()])
    counts.show([view()])
    assert len(published) == 1, "once in that time"
    counts.end()
    assert len(published) == 2
    found = samples(published[-1])
    assert named(found, "migrascope_blackout_seconds_bucket", le="0.05") == 1, "an edge belongs to its bucket"
    assert named(found, "migrascope_blackout_seconds_bucket", le="0.2") == 2
    assert named(found, "migrascope_blackout_seconds_count") == 3, "one that is not over has no length"
    assert named(found, "migrascope_blackout_seconds_sum") == pytest.approx(0.55)
    assert named(found, "migrascope_connections_kept_total") == 1
    assert named(found, "migrascope_connections_lost_total") == 1
    assert named(found, "migrascope_last_guest_pause_seconds") == 0.19, "of the last one that is known"
    assert named(found, "migrascope_last_guest_pause_bound_seconds") == 0.001
    assert named(found, "migrascope_last_blackout_seconds") == 0.05
    assert named(found, "migrascope_last_blackout_bound_seconds") == 0.1
    assert named(found, "migrascope_observer_gaps_total", reason="late") == 1
    assert named(found, "migrascope_observer_gaps_total", reason="clock-step") == 1
    assert named(found, "migrascope_observer_late_seconds_total") == 0.4
    assert named(found, "migrascope_back_offs_total") == 1
    assert named(found, "migrascope_probes_sent_total", kind="icmp") == 49
    assert named(found, "migrascope_probes_answered_total") == 48
    assert named(found, "migrascope_probes_late_total") == 1
    assert named(found, "migrascope_probes_lost_total") == 1
    assert named(found, "migrascope_probe_rate") == 10
    assert named(found, "migrascope_round_trip_seconds_bucket", le="0.001") == 47
    assert named(found, "migrascope_round_trip_seconds_bucket", le="0.25") == 48


def test_what_was_cut_off_or_not_measured_is_in_no_histogram(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = {
        "vm_pause_s": Measured(0.3, "s", "qmp"),
        "network_blackout_s": Measured(5.0, "s", "echo", at_least=True),
        "migration_time_s": missing("s", "qmp", "none"),
    }
    monkeypatch.setattr(runs, "measure", lambda _: measured)
    published: list[Sequence[Metric]] = []
    counts = RunMetrics(PROGRESS, published.append)
    counts.phase("migrate")
    assert named(samples(published[-1]), "migrascope_trial_phase", phase="migrate") == 1
    counts.phase("command: migrate")
    assert len(published) == 1, "only phases are"
    counts.trial_ends(record(tmp_path))
    found = samples(published[-1])
    assert named(found, "migrascope_trial_phase", phase="migrate") == 0
    assert named(found, "migrascope_vm_pause_seconds_bucket", le="0.3") == 1
    assert named(found, "migrascope_last_vm_pause_seconds") == 0.3
    for figure, reason in [
        ("network_blackout_seconds", "cut-off"),
        ("migration_time_seconds", "not-measured"),
        ("data_transferred_bytes", "not-measured"),
    ]:
        assert named(found, "migrascope_figures_unknown_total", figure=figure, reason=reason) == 1
        assert not [name for name, _ in found if name.startswith(f"migrascope_{figure}")]
    assert named(found, "migrascope_figures_unknown_total", figure="vm_pause_seconds", reason="cut-off") == 0


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> list[Metric]:
    """All that there is to be shown."""
    published: list[Metric] = list(Exposition().collect())
    counts = ObservationMetrics(published.extend)
    counts.tell(BLACKOUT.model_copy(update={"kept": True, "paused_s": 0.19, "paused_bound_s": 0.001}))
    counts.show([view()])
    RunMetrics(PROGRESS, published.extend).trial_ends(record(tmp_path_factory.mktemp("trial")))
    return published


def test_names_follow_the_conventions(families: list[Metric]) -> None:
    assert len({family.name for family in families}) == len(families)
    for family in families:
        assert re.fullmatch("migrascope(_[a-z]+)+", family.name)
        assert family.documentation.endswith(".")
        assert not re.search("_(ms|millis|milliseconds|kb|mb|percent)$", family.name)
        if family.type == "histogram":
            assert family.name.endswith(("_seconds", "_bytes"))


def test_the_page_lists_every_metric_with_its_type_and_words(families: list[Metric]) -> None:
    page = (DOCS / "dashboards.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(migrascope_\w+)` \| (\w+) \| ([^|]*) \| ([^|]*) \|$", page, re.MULTILINE)
    expected: list[tuple[str, str, set[str], str]] = []
    for family in families:
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for item in family.samples for label in item.labels} - {"le"}
        expected.append((name, family.type, labels, family.documentation))
    assert [(name, kind, set(re.findall(r"`(\w+)`", labels)), words) for name, kind, labels, words in rows] == expected


def test_the_dashboard_asks_for_nothing_that_is_not_there(families: list[Metric]) -> None:
    board = json.loads((DOCS / "grafana/migrascope.json").read_text(encoding="utf-8"))
    there = {item.name for family in families for item in family.samples}
    asked = {
        name
        for panel in board["panels"]
        for target in panel.get("targets", [])
        for name in re.findall(r"migrascope_\w+", target["expr"])
    }
    assert asked <= there
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_bins_of_round_trips_are_kept_when_probes_are_forgotten() -> None:
    window, second = Sliding(10, 0.5), 10**9
    for begin in range(0, 4000, 100):
        sent = [(seq, second + seq * 10**8) for seq in range(begin, begin + 100)]
        window.add(sent, [(seq, at + (2 if seq % 10 else 200) * 10**6) for seq, at in sent])
    tally = window.tally(1000 * second)
    assert tally.sent == tally.answered == sum(tally.rtt_bins) == 4000
    assert tally.late == tally.rtt_bins[RTT_EDGES_S.index(0.25)] == 400
    assert tally.rtt_bins[RTT_EDGES_S.index(0.0025)] == 3600
    assert tally.rtt_sum_s == pytest.approx(3600 * 0.002 + 400 * 0.2)
    assert tally.last_ns == second + 3999 * 10**8 + 2 * 10**6
