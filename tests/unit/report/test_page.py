"""report.html and what lies beside it, from a run on the fake lab."""

import csv
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import vl_convert
from faketrial import light
from syrupy.assertion import SnapshotAssertion

from fakerun import fake_run
from migrascope.analysis.run import analyse
from migrascope.analysis.summary import Summary
from migrascope.lab.fake.script import default_script
from migrascope.report import build
from migrascope.report.charts import specifications
from migrascope.report.columns import COLUMNS, DASH, caution, figure, finest, first_line
from migrascope.report.page import html, sections, tiphon
from migrascope.store.runfolder import RunFolder

PLAN = light(
    blocks=6,
    lab={"kind": "fake"},
    axes={"scenario": ["none", "relay"]},
    windows={"before": "3s"},
    probes={"echo_rate": 200},
    visitors={"new_rate": 10, "kept_rate": 10},
)
LIMIT_BYTES = 3_000_000
FAILED = 5
EVERY = "Every metric of every cell"
LIBRARIES = html.libraries
OTHER_TRIALS = re.compile(rf"<tr> \| (?!(1|2|{FAILED}) )\d+ \| \d |<summary> intact ledger")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return fake_run(
        tmp_path_factory.mktemp("runs"),
        PLAN,
        lambda spec: replace(
            default_script(spec, PLAN.seed), failure="destination-died" if spec.number == FAILED else None
        ),
    )


@pytest.fixture(scope="module")
def run(made: RunFolder, summary: Summary) -> RunFolder:
    """The run with its results."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(html, "libraries", LIBRARIES)
        build.write_results(made, summary)
    return made


@pytest.fixture(scope="module")
def page(run: RunFolder) -> str:
    return (run.path / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def summary(made: RunFolder) -> Summary:
    return analyse(made)


class Outline(HTMLParser):
    """A page's text by its structure, without scripts and style; and every attribute that could load something."""

    LINES = frozenset(
        {"h1", "h2", "h3", "p", "li", "tr", "dt", "dd", "div", "option", "optgroup", "summary", "section"}
    )
    LOADING = frozenset({"src", "href", "srcset", "poster", "data", "action"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.loading: list[tuple[str, str]] = []
        self._silent = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loading += [(tag, value or "") for name, value in attrs if name.split(":")[-1] in self.LOADING]
        self._silent += tag in ("script", "style", "svg")
        if tag in self.LINES:
            self.lines.append(f"<{tag}>")
        elif tag in ("td", "th"):
            self.lines[-1] += " |"

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in ("script", "style", "svg")

    def handle_data(self, data: str) -> None:
        text = " ".join(data.split())
        if text and not self._silent:
            self.lines[-1:] = [(self.lines[-1] if self.lines else "") + " " + text]


def test_golden(page: str, run: RunFolder, snapshot: SnapshotAssertion) -> None:
    """The whole page but for two long tables of one kind of row: of trials the first two and the failed one are in it,
    and of the metrics none, which have a test of their own."""
    lines = [line for line in Outline(page).lines if " " in line]
    begin = lines.index(f"<summary> {EVERY}")
    end = next(at for at in range(begin, len(lines)) if lines[at].startswith("<h2>"))
    kept = [line for line in (*lines[:begin], *lines[end:]) if not OTHER_TRIALS.match(line)]
    assert "\n".join(kept).replace(run.id, "RUN") == snapshot


def test_every_metric_of_every_cell_is_there(page: str, summary: Summary) -> None:
    lines = Outline(page).lines
    rows = [line.split(" | ")[1:] for line in lines[lines.index(f"<summary> {EVERY}") :] if line.startswith("<tr> |")]
    keys = [key for cell in summary.cells for key in cell.metrics]
    found = [row for row in rows if row[0] in set(keys)]
    assert [row[0] for row in found] == keys
    for row, statistic in zip(found, (value for cell in summary.cells for value in cell.metrics.values()), strict=True):
        assert (row[1] == DASH) == (statistic.median is None), row
        assert row[-1] == (statistic.reason or statistic.source), row


def test_nothing_is_loaded_from_anywhere(page: str) -> None:
    for tag, value in Outline(page).loading:
        assert tag == "a"
        assert value.startswith(("#", "csv/"))
    style = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style
    assert not re.search(r"url\(|@import", "".join(style))
    assert "default-src 'none'" in page


def test_links_lead_somewhere(page: str, run: RunFolder) -> None:
    ids = set(re.findall(r'\sid="([^"]+)"', page.split("<script")[0]))
    for _, value in Outline(page).loading:
        assert value[1:] in ids if value.startswith("#") else (run.path / value).is_file()


def test_size(page: str) -> None:
    assert len(page.encode()) <= LIMIT_BYTES


def test_size_of_the_longest_run(page: str, run: RunFolder) -> None:
    """Every place on the page taken by a trial with all bins and all series still fits."""
    full = {"start": -5.0, "step": 0.2, "columns": {f"column_{n}": [0.1234] * 300 for n in range(9)}}
    text = json.dumps({"whole": full, "switchover": full}, separators=(",", ":"))
    shown = json.loads(re.findall(r'id="timelines">(.*?)</script>', page, re.DOTALL)[0])
    frame = len(page) - sum(len(json.dumps(value, separators=(",", ":"))) for value in shown.values())
    assert frame + build.MOST_TIMELINES * len(text) <= LIMIT_BYTES


def test_specifications_compile(summary: Summary) -> None:
    specs = [specifications.trial_axis(), specifications.scatter(summary, "migration_time_s", "Migration time [s]", 1)]
    for spec in specs:
        assert spec is not None
        assert vl_convert.vegalite_to_vega(spec)["marks"]


def test_tables_as_csv(run: RunFolder, summary: Summary) -> None:
    with (run.path / "csv" / "trials.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["trial"]) for row in rows] == list(range(1, 13))
    assert [row["status"] for row in rows].count("failed") == 1
    for row, trial in zip(rows, summary.trials, strict=True):
        value = trial.metrics["migration_time_s"].value
        assert row["migration_time_s [s]"] == ("" if value is None else repr(value))
    with (run.path / "csv" / "cells.csv").open(newline="", encoding="utf-8") as file:
        cells = list(csv.DictReader(file))
    assert {row["scenario"] for row in cells} == {"none", "relay"}
    assert {row["unit"] for row in cells if row["metric"] == "probe.loss_ratio.switchover"} == {"ratio"}


def test_summary_json_holds_trials_and_cells(run: RunFolder) -> None:
    summary = json.loads((run.path / "summary.json").read_text(encoding="utf-8"))
    assert len(summary["trials"]) == 12
    assert len(summary["cells"]) == 2
    assert summary["trials"][FAILED - 1]["status"] == "failed"


def test_few_places_go_to_failures_and_the_worst(summary: Summary) -> None:
    chosen = build.chosen_trials(summary, 4)
    assert len(chosen) == 4
    assert FAILED in chosen
    blackouts = {
        trial.facts.number: trial.metrics["network_blackout_s"].value or 0.0
        for trial in summary.trials
        if trial.facts.status == "ok"
    }
    assert max(blackouts, key=lambda number: blackouts[number]) in chosen
    assert len(build.chosen_trials(summary, 100)) == 12


def test_calibration_bounds_what_is_shown() -> None:
    blackout = next(column for column in COLUMNS if column.key == "network_blackout_s")
    row = {"quoted": True, "layer": "network", "truth": "cut", "nominal_s": None, "abs_error_p95_s": 0.012}
    assert finest(blackout, None) == 1e-3
    assert finest(blackout, [row | {"quoted": False}]) == 1e-3
    assert finest(blackout, [row | {"quoted": False}, row]) == pytest.approx(1e-2)
    assert figure(0.2567, blackout, 1e-2) == "260"
    assert figure(0.2567, blackout, 1e-3) == "257"
    assert figure(0.02567, blackout, 1e-4) == "25.7"
    assert figure(0.0, blackout, 1e-3) == "0"


def test_not_calibrated_is_said(page: str) -> None:
    assert "Not calibrated on this machine: run <code>migrascope calibrate</code>" in page


def test_what_must_be_known_first_is_said_first(summary: Summary) -> None:
    assert caution(summary) == "Fake lab: these figures come from a script, not from a machine."
    emulated = replace(summary, lab="qemu", accelerator="tcg", qemu="10.0.2")
    assert caution(emulated) == "Software emulation (TCG): compare these figures only with other TCG figures."
    assert caution(replace(emulated, accelerator="kvm")) is None
    assert first_line(emulated) == "lab qemu · tcg · QEMU 10.0.2 · a test's machine, 2 cores, 8 GiB"


def test_tiphon() -> None:
    steps = ["perfect", "good", "medium", "poor", "off the scale"]
    assert [tiphon.delay(s)[0].label for s in (0.15, 0.25, 0.35, 0.45, 0.46)] == steps
    assert [tiphon.jitter(s).label for s in (0.0, 0.075, 0.125, 0.225, 0.23)] == steps
    assert [tiphon.loss(r).label for r in (0.0, 0.03, 0.15, 0.25, 0.26)] == steps
    assert [tiphon.throughput(r).label for r in (1.0, 0.75, 0.5, 0.25, 0.24)] == steps
    assert tiphon.throughput(1.2).label == "perfect"
    assert tiphon.loss(0.04, at_least=True).label == "medium or worse"
    assert tiphon.loss(0.4, at_least=True).label == "off the scale"


def test_both_scales_of_delay_are_told_where_they_differ() -> None:
    assert [len(tiphon.delay(s)) for s in (None, 0.1, 0.2, 0.27, 0.32, 0.4, 0.5)] == [1, 1, 1, 2, 1, 2, 2]
    strict, lenient = tiphon.delay(0.27)
    assert (strict.label, strict.scale) == ("medium", "150/250/350/450 ms")
    assert (lenient.label, lenient.scale) == ("good", "150/300/450 ms")


def test_no_mean_makes_a_bad_grade_good() -> None:
    def of(delay_s: float, jitter_s: float, lost: float, reached: float) -> tiphon.Overall:
        grades = [tiphon.jitter(jitter_s), tiphon.loss(lost), tiphon.throughput(reached)]
        return tiphon.overall([tiphon.delay(delay_s)[0], *grades])

    assert of(0.1, 0.0, 0.4, 1.0) == tiphon.Overall(tiphon.Grade(0, "off the scale"), 3.0)
    assert of(0.1, 0.01, 0.2, 1.0) == tiphon.Overall(tiphon.Grade(1, "poor"), 3.0)
    assert of(0.1, 0.0, 0.0, 1.0) == tiphon.Overall(tiphon.Grade(4, "perfect"), 4.0)
    assert tiphon.overall([tiphon.NONE, tiphon.loss(0.0)]) == tiphon.Overall(tiphon.NONE, None)


def test_grades_of_a_run(run: RunFolder) -> None:
    for row in sections.grades(analyse(run), ["scenario"]):
        assert len(row["others"]) == (2 if row["window"] == "before" else 3)
        known = [grade.index for grade in [row["delays"][0], *row["others"]]]
        assert row["overall"].worst.index == min(index for index in known if index is not None)


def test_the_old_report_stays_when_a_new_one_fails(
    run: RunFolder, summary: Summary, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (run.path / "report.html").read_bytes()

    def broken(*_: object) -> str:
        raise RuntimeError

    monkeypatch.setattr(html, "render", broken)
    with pytest.raises(RuntimeError):
        build.write_results(run, summary)
    assert (run.path / "report.html").read_bytes() == before
    assert not list(Path(run.path).glob(".*.part"))
