"""What calibrate makes and counts: holds of any length, and only those that make a blackout."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from faketrial import light, record

from fakerun import fake_run
from migrascope.analysis.accuracy import http_truths, network_truths
from migrascope.lab.fake.script import Script, default_script
from migrascope.metrics.trial import examine
from migrascope.model.schedule import TrialSpec
from migrascope.store.recording import Recording, polars_schema
from migrascope.store.runfolder import RunFolder
from migrascope.trial.calibration_trial import Series

S = 10**9
VISIT_S = 0.02
LATE_S = 0.1


def test_holds_have_any_length_and_begin_at_any_moment() -> None:
    """Neither is a multiple of the visits' spacing, which would make the meter's error look like none."""
    for kind, least in (("http", LATE_S), ("player", 0.0)):
        holds = [hold for hold in Series(repeats=10).holds() if hold["kind"] == kind]
        assert len(holds) == 70
        for hold in holds:
            length, nominal = float(hold["hold_s"]) - least, float(hold["nominal_s"]) - least
            assert 0.9 * nominal - 1e-9 <= length <= 1.1 * nominal + 1e-9
        for key in ("hold_s", "at_s"):
            rests = {round(float(hold[key]) % VISIT_S, 6) for hold in holds}
            assert len(rests) > 50, key


def held(recording: Recording, lengths_s: list[float]) -> Recording:
    """A visit of each kind every 20 ms; those due in a hold are answered at its end."""
    holds = [(10 * S + 3_100_000 + at * 4 * S, length) for at, length in enumerate(lengths_s)]
    ends = [(start, start + round(length * S)) for start, length in holds]
    visits = []
    for kind in ("new", "kept"):
        for seq in range((12 + 4 * len(lengths_s)) * 50):
            due = seq * S // 50
            done = next((over for start, over in ends if start <= due < over), due) + 2_000_000
            visits.append((kind, seq, due, due, due, done, done, 200, 1000, seq, "", "v", "client", "i", "m"))
    rows = [
        (start, over, 1000, "http", length, "hold", "origin", "i", "m")
        for (start, over), (_, length) in zip(ends, holds, strict=True)
    ]
    for name, table in (("visit", visits), ("hold", rows)):
        schema = polars_schema(name)
        pl.DataFrame(table, schema=schema, orient="row").write_parquet(recording.folder / f"{name}.parquet")
    return Recording(recording.folder)


def test_a_hold_that_makes_nobody_late_does_not_count(tmp_path: Path) -> None:
    seen = list(http_truths(held(record(tmp_path), [0.05, 0.09, 0.317, 0.731])))
    assert sorted(nominal for _, _, nominal, *_ in seen) == [0.317, 0.317, 0.731, 0.731]
    for _, _, nominal, truth, _, measured in seen:
        assert truth == pytest.approx(nominal - LATE_S)
        assert abs(measured - truth) <= VISIT_S
        assert measured > 0


def test_both_families_are_held_against_the_same_cuts(tmp_path: Path) -> None:
    plan = light(blocks=1, lab={"kind": "fake"}, axes={"scenario": ["none"]}, families=["ipv4", "ipv6"])

    def script(spec: TrialSpec) -> Script:
        return replace(default_script(spec, plan.seed), later_over_ipv6_s=0.4)

    fake_run(tmp_path, plan, script)
    (recording,) = RunFolder(tmp_path / "latest").recordings()
    windows = examine(recording).windows
    assert windows.stop is not None
    assert windows.resume is not None
    rows = [(windows.stop, windows.resume, 1000, "cut", 0.1, "engine", "host-a", "i", "m")]
    hold = pl.DataFrame(rows, schema=polars_schema("hold"), orient="row")
    hold.write_parquet(recording.folder / "hold.parquet")
    found = {layer: measured for layer, *_, measured in network_truths(Recording(recording.folder))}
    assert found["network ipv6"] - found["network"] == pytest.approx(0.4, abs=0.02)
