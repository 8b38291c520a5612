"""What OVN does to a port, by what it said in two real migrations: they were asked of ovn-sbctl by hand, too."""

from pathlib import Path

import polars as pl
import pytest
from cloudtrial import record
from ovntrial import NEARER, said, wired

from migrascope.metrics import ovn
from migrascope.metrics.trial import measure
from migrascope.metrics.windows import windows_of
from migrascope.model.measured import Measured
from migrascope.store.recording import Recording

BINDINGS = [line for line in said("to-compute")[1] if line.name == "binding"]


def found(recording: Recording) -> dict[str, Measured]:
    return ovn.measure(recording, windows_of(recording))


def values(recording: Recording) -> dict[str, float | None]:
    return {key: measured.value for key, measured in found(recording).items()}


class TestFormat:
    def test_values_of_ovsdb(self) -> None:
        assert ovn.value(["map", [["a", "1"], ["b", ["uuid", "x"]]]]) == {"a": "1", "b": "x"}
        assert ovn.value(["set", [["uuid", "x"], ["uuid", "y"]]]) == ("x", "y")
        assert ovn.value(["set", []]) == ()
        assert (ovn.value(True), ovn.value(5), ovn.value(["uuid", "x"])) == (True, 5, "x")
        assert (ovn.members("x"), ovn.members(()), ovn.members(("x", "y"))) == (("x",), (), ("x", "y"))

    def test_a_changed_row_has_what_differed_and_all_that_is_now(self) -> None:
        ((row, old, new),) = ovn.changed(BINDINGS[0].text)
        assert row == "d314df22-0604-41bc-bfa2-444e0121c0e7"
        assert old == {"requested_additional_chassis": (), "options": {"requested-chassis": "controller"}}
        assert new["options"] == {"activation-strategy": "rarp", "requested-chassis": "controller,compute"}
        assert new["additional_chassis"] == ()
        assert new["up"] is True

    def test_a_row_that_comes_and_one_that_goes(self) -> None:
        texts = [line.text for line in said("to-compute")[1] if line.name == "interface"]
        ((_, nothing, new),) = ovn.changed(texts[0])
        ((_, old, gone),) = ovn.changed(texts[-1])
        assert (nothing, new["name"]) == ({}, "tap79c7a817-03")
        assert (old["name"], gone) == ("tap79c7a817-03", {})

    def test_the_rows_that_were_there(self) -> None:
        (chassis,) = [line.text for line in said("to-compute")[1] if line.name == "chassis"]
        assert {new["name"] for _, old, new in ovn.changed(chassis) if not old} == {"controller", "compute"}


class TestStamps:
    def test_towards_the_compute_node(self, tmp_path: Path) -> None:
        seen = values(wired(tmp_path, "to-compute"))
        assert seen == {
            "ovn.requested_s": pytest.approx(-8.5247 * NEARER, abs=1e-3),
            "ovn.claiming_s": pytest.approx(-3.9761 * NEARER, abs=1e-3),
            "ovn.claimed_s": pytest.approx(-3.9667 * NEARER, abs=1e-3),
            "ovn.installed_s": pytest.approx(-3.904 * NEARER, abs=2e-3),
            "ovn.activated_s": pytest.approx(0.0057, abs=2e-3),
            "ovn.unblocked_s": pytest.approx(0.0078, abs=2e-3),
            "ovn.switched_s": pytest.approx(2.0235, abs=2e-3),
            "ovn.up_s": pytest.approx(2.1187, abs=2e-3),
            "ovn.told_s": pytest.approx(2.4348, abs=2e-3),
            "ovn.floating_s": None,
            "ovn.unbound_s": pytest.approx(0.03285, abs=1e-5),
            "ovn.lag_s": pytest.approx(0.00337, abs=1e-3),
        }

    def test_a_port_that_is_lost_after_it_has_switched_is_up_when_it_is_bound_to_stay(self, tmp_path: Path) -> None:
        seen = values(wired(tmp_path, "to-controller"))
        assert seen["ovn.switched_s"] == pytest.approx(1.5095, abs=1e-3)
        assert seen["ovn.unbound_s"] == pytest.approx(0.01571, abs=1e-5)
        assert seen["ovn.up_s"] == pytest.approx(1.5458, abs=1e-3)
        assert seen["ovn.unblocked_s"] == pytest.approx(0.0121, abs=1e-3)

    def test_what_was_read_is_late_by_as_much_as_ovn_s_own_stamps_show(self, tmp_path: Path) -> None:
        seen = found(wired(tmp_path, "to-compute"))
        lag = seen["ovn.lag_s"].value
        assert lag is not None
        for name in ("requested", "claimed", "activated", "unblocked", "switched", "up"):
            assert dict(seen[f"ovn.{name}_s"].errors)["resolution"] == pytest.approx(lag)
        assert dict(seen["ovn.claiming_s"].errors)["resolution"] == pytest.approx(1e-6)
        assert dict(seen["ovn.installed_s"].errors)["resolution"] == pytest.approx(1e-3)

    def test_a_line_that_the_log_has_dropped_is_missing_and_no_other_stands_for_it(self, tmp_path: Path) -> None:
        seen = found(wired(tmp_path, "to-compute", keep=r"^(?!.*for this additional chassis)"))
        assert (seen["ovn.claiming_s"].value, seen["ovn.claiming_s"].reason) == (None, "nothing showed it")
        assert seen["ovn.claimed_s"].value is not None

    def test_a_port_that_is_not_held_waits_for_no_rarp(self, tmp_path: Path) -> None:
        seen = found(wired(tmp_path, "to-compute", keep="^(?!.*activation-strategy)(?!.* rarp,)"))
        assert {seen[f"ovn.{name}_s"].reason for name in ("activated", "unblocked")} == {
            "the port was not to wait for a RARP"
        }
        assert seen["ovn.switched_s"].value is not None

    def test_a_cookie_loses_its_leading_zeros(self, tmp_path: Path) -> None:
        recording = wired(tmp_path, "to-compute")
        path = recording.folder / "ovn.parquet"
        short = pl.col("line").str.replace_all("d314df22-", "0014df22-").str.replace("0xd314df22", "0x14df22")
        pl.read_parquet(path).with_columns(line=short).write_parquet(path)
        assert values(Recording(recording.folder))["ovn.unblocked_s"] == pytest.approx(0.0078, abs=1e-3)

    def test_flows_of_another_port_are_not_its_own(self, tmp_path: Path) -> None:
        recording = wired(tmp_path, "to-compute")
        path = recording.folder / "ovn.parquet"
        other = pl.col("line").str.replace("cookie=0xd314df22", "cookie=0xd314df23")
        pl.read_parquet(path).with_columns(line=other).write_parquet(path)
        assert found(Recording(recording.folder))["ovn.unblocked_s"].reason == "nothing showed it"

    def test_flows_that_are_installed_again_hold_the_port_back_until_they_are_gone_for_good(
        self, tmp_path: Path
    ) -> None:
        recording = wired(tmp_path, "to-compute")
        path = recording.folder / "ovn.parquet"
        before, seen = values(recording), pl.read_parquet(path)
        gone = seen.filter(pl.col("line").str.contains("event=DELETED .*table=0 cookie=0xd314df22 rarp,"))
        cleared = gone.with_columns(pl.col("wall_ns") - 500_000)
        again = gone.with_columns(pl.col("wall_ns") - 300_000, pl.col("line").str.replace("DELETED", "ADDED"))
        pl.concat([seen, cleared, again]).write_parquet(path)
        assert gone.height == 1
        assert values(Recording(recording.folder))["ovn.unblocked_s"] == before["ovn.unblocked_s"]
        pl.concat([seen, gone.with_columns(again["line"], pl.col("wall_ns") + 300_000)]).write_parquet(path)
        assert found(Recording(recording.folder))["ovn.unblocked_s"].reason == "nothing showed it"

    def test_without_ovn_all_of_it_is_missing(self, tmp_path: Path) -> None:
        assert {measured.reason for measured in found(record(tmp_path)).values()} == {ovn.NOT_OVN}
        assert set(found(record(tmp_path))) == set(ovn.KEYS) <= set(measure(record(tmp_path)))
