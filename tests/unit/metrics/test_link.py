"""What went over the migration link, by the counters of its ports, which may be made anew."""

from pathlib import Path

import polars as pl
import pytest
from faketrial import SCRIPT, record

from migrascope.metrics import link
from migrascope.metrics.trial import Measurement, examine
from migrascope.model.family import FIRST, SECOND
from migrascope.store.recording import Recording


def test_data_counts_both_directions_less_headers(recording: Recording, seen: Measurement) -> None:
    """A destination that answers with 1000 bytes in each of its packets."""
    changed = recording.table("link").with_columns(
        to_node_bytes=pl.col("to_node_bytes") + 1000 * pl.col("to_node_packets")
    )
    windows = seen.windows
    assert windows.during is not None
    port = changed.filter(pl.col("link") == "migration", pl.col("node") == "host-a").sort("mono_ns")
    acks = port["to_node_packets"]
    measured = link.data(link.Counters.of(changed, "migration", "host-a"), windows)
    assert measured.value == SCRIPT.data_bytes + 1000 * (acks[-1] - acks[0])


def test_segments_of_ipv6_have_longer_headers(recording: Recording, seen: Measurement) -> None:
    table, windows = recording.table("link"), seen.windows
    of_four, of_six = (
        link.data(link.Counters.of(table, "migration", "host-a", family), windows) for family in (FIRST, SECOND)
    )
    port = table.filter(pl.col("link") == "migration", pl.col("node") == "host-a").sort("mono_ns")
    packets = port.select(pl.col("to_node_packets") + pl.col("from_node_packets")).to_series()
    assert of_four.value is not None
    assert of_six.value == of_four.value - 20 * (packets[-1] - packets[0])


SOURCES_PORT = (pl.col("link") == "migration") & (pl.col("node") == "host-a")
COUNTERS = [f"{way}_node_{what}" for way in ("from", "to") for what in ("bytes", "packets")]


def made_anew(recording: Recording, begun: int) -> pl.DataFrame:
    """The source's port on the migration link counts from 0 again since the sample before begun."""
    table = recording.table("link")
    base = table.filter(SOURCES_PORT).sort("mono_ns").filter(pl.col("mono_ns") < begun).row(-1, named=True)
    chosen = SOURCES_PORT & (pl.col("mono_ns") >= begun)
    return table.with_columns(
        pl.when(chosen).then(pl.col(name) - base[name]).otherwise(pl.col(name)).alias(name) for name in COUNTERS
    )


def check_made_anew(recording: Recording) -> None:
    found = examine(Recording(recording.folder))
    data = found.metrics["data_transferred_bytes"]
    assert data.at_least
    assert data.value == pytest.approx(SCRIPT.data_bytes)
    assert found.metrics["link_payload_bps"].value is None
    assert any("made anew" in warning for warning in found.warnings)


@pytest.mark.parametrize("share", [0.25, 0.6])
def test_a_port_that_is_made_anew_is_noticed(tmp_path: Path, share: float) -> None:
    """Its counters begin again at 0 after so much of what the source sent, before STOP."""
    recording = record(tmp_path)
    rows = recording.table("link").filter(SOURCES_PORT).sort("mono_ns")
    first, last = rows["from_node_bytes"][0], rows["from_node_bytes"][-1]
    begun = rows.filter(pl.col("from_node_bytes") > first + share * (last - first))["mono_ns"][0]
    made_anew(recording, begun).write_parquet(recording.folder / "link.parquet")
    check_made_anew(recording)


def test_a_port_whose_new_counters_exceed_the_old_ones_is_noticed_by_its_number(tmp_path: Path) -> None:
    """Made anew after the first sample of the copy: at the next one it has carried more than the old port ever did."""
    recording = record(tmp_path)
    rows = recording.table("link").filter(SOURCES_PORT).sort("mono_ns")
    begun = rows.filter(pl.col("from_node_bytes") > rows["from_node_bytes"][0])["mono_ns"][1]
    table = made_anew(recording, begun)
    for name in COUNTERS:
        assert (table.filter(SOURCES_PORT).sort("mono_ns")[name].diff().drop_nulls() >= 0).all(), name
    later = SOURCES_PORT & (pl.col("mono_ns") >= begun)
    table = table.with_columns(ifindex=pl.when(later).then(pl.col("ifindex") + 40).otherwise(pl.col("ifindex")))
    table.write_parquet(recording.folder / "link.parquet")
    check_made_anew(recording)


def test_a_recording_of_before_there_were_numbers_of_ports_is_read(tmp_path: Path) -> None:
    recording = record(tmp_path)
    whole = examine(recording).metrics
    recording.table("link").drop("ifindex").write_parquet(recording.folder / "link.parquet")
    older = Recording(recording.folder)
    assert older.table("link")["ifindex"].unique().to_list() == [0]
    assert examine(older).metrics == whole
