"""Whether neighbour tables were right over the switchover: what is right, what is wrong and for how long, and when an
entry was confirmed."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from faketrial import record

from migrascope.metrics import neighbours
from migrascope.metrics.windows import windows_of
from migrascope.model.family import NOT_PLANNED
from migrascope.model.measured import Measured
from migrascope.store.recording import Recording, polars_schema

MS = 10**6
MAC, NOBODY = "52:54:00:00:00:07", "02:00:00:00:00:01"
V4, V6 = "10.0.4.100", "fd4d:6967:7261:4::100"
Row = tuple[int, str, str, str]
"""Ns after RESUME, address, state, MAC."""


class Followed(Recording):
    """A dual-stack recording with these rows of the table neighbour_state."""

    def follow(self, rows: Sequence[Row], place: str = "router", why: str = "") -> None:
        plan = {**self.trial.plan, "families": ["ipv4", "ipv6"]}
        self.trial = replace(self.trial, plan=plan)
        resume = windows_of(self).resume
        assert resume is not None
        self.rows = pl.DataFrame(
            [(resume + at, "fabric", place, address, state, mac, why, "neighbours", "fabric", "vm-1", "m-1")
             for at, address, state, mac in rows],
            schema=polars_schema("neighbour_state"), orient="row",
        )  # fmt: skip

    def table(self, name: str) -> pl.DataFrame:
        return self.rows if name == "neighbour_state" else super().table(name)


def measured(folder: Path, *rows: Row, **given: Any) -> dict[str, Measured]:
    recording = Followed(record(folder).folder)
    recording.follow(rows, **given)
    return neighbours.measure(recording, windows_of(recording))


def values(found: dict[str, Measured], *names: str) -> list[float | None]:
    return [found[f"router_neighbour.{name}"].value for name in names]


def test_one_that_is_right_all_the_time_and_confirmed_later(tmp_path: Path) -> None:
    found = measured(
        tmp_path,
        (-9000 * MS, V4, "reachable", MAC), (-8000 * MS, V6, "delay", MAC),
        (-20 * MS, V6, "probe", MAC), (5 * MS, V6, "reachable", MAC),
    )  # fmt: skip
    assert values(found, "right", "wrong_s", "right_ipv6", "wrong_ipv6_s") == [1, 0, 1, 0]
    assert values(found, "confirmed_s", "confirmed_ipv6_s") == [None, pytest.approx(0.005)]
    why = found["router_neighbour.confirmed_s"].reason
    assert why == "the router had not confirmed its entry when recording ended"
    assert found["router_neighbour.confirmed_ipv6_s"].errors


def test_one_that_is_misled_is_wrong_until_it_is_put_right(tmp_path: Path) -> None:
    found = measured(
        tmp_path,
        (-9000 * MS, V4, "reachable", MAC), (-9000 * MS, V6, "stale", MAC),
        (30 * MS, V4, "stale", NOBODY), (230 * MS, V4, "stale", MAC), (260 * MS, V4, "reachable", MAC),
        (30 * MS, V6, "stale", NOBODY), (60 * MS, V6, "probe", NOBODY), (90 * MS, V6, "failed", ""),
        (190 * MS, V6, "gone", ""), (290 * MS, V6, "reachable", MAC),
    )  # fmt: skip
    assert values(found, "right", "right_ipv6") == [1, 1]
    assert values(found, "wrong_s", "wrong_ipv6_s") == [pytest.approx(0.2), pytest.approx(0.26)]
    assert values(found, "confirmed_s", "confirmed_ipv6_s") == [pytest.approx(0.26), pytest.approx(0.29)]


def test_one_that_was_wrong_before_counts_from_the_stop(tmp_path: Path) -> None:
    found = measured(
        tmp_path, (-9000 * MS, V4, "reachable", MAC), (-4000 * MS, V4, "stale", NOBODY), (10 * MS, V4, "stale", MAC)
    )
    pause = 0.2  # of the recorded trial
    assert values(found, "right", "wrong_s") == [0, pytest.approx(0.01 + pause, abs=1e-5)]


def test_one_that_never_comes_right_is_wrong_at_least_so_long(tmp_path: Path) -> None:
    recording = Followed(record(tmp_path).folder)
    recording.follow([(-9000 * MS, V4, "reachable", MAC), (0, V4, "gone", "")])
    windows = windows_of(recording)
    assert windows.resume is not None
    found = neighbours.measure(recording, windows)["router_neighbour.wrong_s"]
    assert found.at_least
    assert found.value == pytest.approx((windows.end - windows.resume) / 1e9)


def test_none_before_the_first_row_is_wrong(tmp_path: Path) -> None:
    found = measured(tmp_path, (50 * MS, V6, "reachable", MAC))
    assert values(found, "right_ipv6", "wrong_ipv6_s") == [0, pytest.approx(0.25, abs=1e-5)]


def reasons(found: dict[str, Measured], start: str = "") -> set[str | None]:
    return {measured.reason for key, measured in found.items() if key.startswith(start)}


def test_what_nobody_saw_is_missing_with_its_reason(tmp_path: Path) -> None:
    found = measured(tmp_path, (-9000 * MS, V4, "reachable", MAC), place="client")
    assert reasons(found, "router") == {"nobody looked into the neighbour table of the router"}
    assert found["client_neighbour.right"].value == 1
    assert (
        found["client_neighbour.right_ipv6"].reason == "the neighbour table of the client had no entry of the instance"
    )
    found = measured(tmp_path, (-9000 * MS, "", "unseen", ""), why="the router is made of flows")
    assert reasons(found, "router") == {"the router is made of flows"}


def test_a_plan_of_one_family_has_nothing_over_the_other(tmp_path: Path) -> None:
    recording = record(tmp_path)
    found = neighbours.measure(recording, windows_of(recording))
    assert {measured.reason for key, measured in found.items() if "ipv6" in key} == {NOT_PLANNED}
    first = {key: measured for key, measured in found.items() if "ipv6" not in key}
    assert reasons(first, "client") == {"nobody looked into the neighbour table of the client"}
