"""How a guest that has come is announced: what came from the destination, when, and what is missing."""

from dataclasses import replace
from pathlib import Path

import cloudtrial
import polars as pl
import pytest
from faketrial import record

from migrascope.metrics import announced, wiring
from migrascope.metrics.windows import windows_of
from migrascope.model.measured import Measured
from migrascope.store.recording import Recording, polars_schema

MS = 10**6
Row = tuple[str, int, str, str, str, int]
"""Node, ns after RESUME, place, way, kind, frames."""


class Followed(Recording):
    """A recording with these rows of the table announce."""

    def follow(self, *rows: Row) -> None:
        """Their stamps are by the recording's own clock."""
        resume = windows_of(self).resume
        assert resume is not None
        wall = resume + self.wall_clock.offset_ns()
        self.rows = pl.DataFrame(
            [(wall + at, wall + at, node, place, way, kind, n, "announce", "fabric", "vm-1", "m-1")
             for node, at, place, way, kind, n in rows],
            schema=polars_schema("announce"), orient="row",
        )  # fmt: skip

    def table(self, name: str) -> pl.DataFrame:
        return self.rows if name == "announce" and "rows" in vars(self) else super().table(name)


def seen(folder: Path, *rows: Row) -> dict[str, Measured]:
    recording = Followed(record(folder).folder)
    recording.follow(*rows)
    windows = windows_of(recording)
    assert all(measured.value is None for measured in wiring.measure(recording, windows).values())
    return announced.measure(recording, windows)


def test_each_family_has_its_own_first_frame_at_tap_and_router(tmp_path: Path) -> None:
    recording = Followed(record(tmp_path).folder)
    recording.trial = replace(recording.trial, plan={**recording.trial.plan, "families": ["ipv4", "ipv6"]})
    recording.follow(
        ("host-b", 5 * MS, "tap", "from", "na", 1),
        ("host-b", 40 * MS, "tap", "from", "frame6", 1),
        ("host-b", 60 * MS, "tap", "from", "frame", 1),
        ("host-b", 42 * MS, "router", "from", "frame6", 1),
        ("host-b", 63 * MS, "router", "from", "frame", 1),
    )
    found = wiring.measure(recording, windows_of(recording))
    names = ("spoke", "router", "spoke_ipv6", "router_ipv6")
    values = [found[f"wiring.{name}_s"].value for name in names]
    assert values == [pytest.approx(value, abs=1e-6) for value in (0.060, 0.063, 0.040, 0.042)]


def test_what_a_router_advertises_to_all_is_no_frame_of_the_instance_s(tmp_path: Path) -> None:
    recording = Followed(record(tmp_path).folder)
    recording.follow(
        ("host-b", -900 * MS, "tap", "to", "ra", 1),
        ("host-b", 60 * MS, "tap", "to", "frame", 1),
        ("host-a", 90 * MS, "tap", "to", "ra", 1),
        ("host-a", -300 * MS, "tap", "to", "frame", 1),
    )
    path = wiring.path(recording, windows_of(recording))
    assert path is not None
    assert path.left is not None
    assert path.came is not None
    assert path.came - path.left == pytest.approx(360 * MS, abs=1000)


def test_the_first_of_each_kind_from_the_destination_counts(tmp_path: Path) -> None:
    found = seen(
        tmp_path,
        ("host-a", -5000 * MS, "port", "from", "na", 1),
        ("host-b", 3 * MS, "port", "from", "rarp", 1),
        ("host-b", 53 * MS, "port", "from", "rarp", 2),
        ("host-a", 3 * MS, "port", "to", "rarp", 1),
        ("host-b", 20 * MS, "port", "from", "na", 3),
        ("host-b", 10 * MS, "port", "from", "nd", 1),
        ("host-b", 21 * MS, "port", "from", "mld", 1),
        ("host-b", 700 * MS, "port", "to", "ra", 1),
    )
    assert found["announced.rarp_s"].value == pytest.approx(0.003)
    assert found["announced.na_s"].value == pytest.approx(0.02)
    assert found["announced.mld_s"].value == pytest.approx(0.021)
    assert found["announced.ra_s"].value == pytest.approx(0.7)
    frames = {kind: found[f"announced.frames.{kind}"].value for kind in (*announced.KINDS, *announced.TO_IT)}
    assert frames == {"rarp": 3, "garp": 0, "na": 3, "dad": 0, "mld": 1, "ra": 1}


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    found = seen(tmp_path, ("host-b", 3 * MS, "port", "from", "rarp", 1), ("host-a", 9 * MS, "port", "from", "na", 1))
    assert found["announced.na_s"].reason == "no unsolicited neighbour advertisement came from the destination"
    assert found["announced.garp_s"].reason == "no gratuitous ARP came from the destination"
    assert found["announced.dad_s"].reason == "no duplicate address detection came from the destination"
    assert found["announced.ra_s"].reason == "no router advertisement came to the destination"


def test_where_nobody_looked_nothing_is_missing(tmp_path: Path) -> None:
    recording = record(tmp_path)
    reasons = {measured.reason for measured in announced.measure(recording, windows_of(recording)).values()}
    assert reasons == {"nobody followed the instance's frames"}


def test_at_the_testbed_s_taps_too(tmp_path: Path) -> None:
    recording = cloudtrial.record(tmp_path)
    found = announced.measure(recording, windows_of(recording))
    assert found["announced.rarp_s"].value == pytest.approx(0.001, abs=1e-6)
    assert found["announced.rarp_s"].errors
