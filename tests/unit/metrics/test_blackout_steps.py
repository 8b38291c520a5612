"""The steps of a network blackout add up to it, and what nothing showed is unexplained."""

from pathlib import Path

import polars as pl
import pytest
from cloudtrial import DESTINATION, MS, record
from faketrial import light
from faketrial import record as record_qemu
from hypothesis import given
from hypothesis import strategies as st
from ovntrial import wired

from migrascope.metrics.blackout_steps import KEYS, STEPS, UNEXPLAINED, Piece, held, split
from migrascope.metrics.ovn import Stamp, Wired
from migrascope.metrics.steps import Edge
from migrascope.metrics.trial import measure
from migrascope.metrics.windows import windows_of
from migrascope.model.family import key_of
from migrascope.model.measured import Measured
from migrascope.store.recording import Recording, polars_schema


def lengths(begin: float, ends: dict[str, float | None], over: float) -> tuple[dict[str, float], float]:
    edges = [(name, None if ns is None else Edge(ns, "t")) for name, ns in ends.items()]
    found, rest = split(Edge(begin, "t"), edges, Edge(over, "t"))
    return {name: piece.length_ns for name, piece in found.items()}, rest.length_ns


class TestSplit:
    def test_each_step_begins_where_the_one_before_ended(self) -> None:
        assert lengths(10, {"a": 15, "b": 30, "c": 31}, 40) == ({"a": 5, "b": 15, "c": 1}, 9)

    def test_what_came_early_took_nothing(self) -> None:
        assert lengths(10, {"a": 20, "b": 12, "c": 25}, 40) == ({"a": 10, "b": 0, "c": 5}, 15)

    def test_what_comes_after_the_blackout_is_no_part_of_it(self) -> None:
        assert lengths(10, {"a": 20, "b": 50, "c": 60}, 40) == ({"a": 10, "b": 20, "c": 0}, 0)

    def test_what_nothing_showed_is_unexplained_and_so_is_what_begins_with_it(self) -> None:
        assert lengths(10, {"a": 20, "b": None, "c": 25, "d": 30}, 40) == ({"a": 10, "d": 5}, 15)
        assert lengths(10, {"a": None, "b": None}, 40) == ({}, 30)

    @given(
        st.floats(0, 1e9),
        st.dictionaries(st.sampled_from(list(STEPS)), st.one_of(st.none(), st.floats(-1e9, 3e9))),
        st.floats(0, 1e9),
    )
    def test_all_of_it_adds_up(self, begin: float, ends: dict[str, float | None], lasts: float) -> None:
        found, rest = lengths(begin, ends, begin + lasts)
        assert sum(found.values()) + rest == pytest.approx(lasts, abs=1e-3)
        assert min([rest, *found.values()]) >= -1e-6

    def test_a_step_that_is_there_twice_is_as_long_as_both(self) -> None:
        moments = [("a", Edge(15, "t")), ("b", Edge(20, "t")), ("a", Edge(30, "t")), ("b", Edge(31, "t"))]
        found, rest = split(Edge(10, "t"), moments, Edge(40, "t"))
        assert ({name: piece.length_ns for name, piece in found.items()}, rest.length_ns) == ({"a": 15, "b": 6}, 9)

    def test_a_piece_has_the_errors_of_both_its_ends(self) -> None:
        begin, end = Edge(0, "echo", {"clock": 1}), Edge(10, "ovn", {"clock": 2, "resolution": 3})
        over = Edge(30, "echo", {"resolution": 4})
        found, rest = split(begin, [("a", end), ("b", Edge(5, "announce", {"lateness": 9}))], over)
        assert found["a"] == Piece(10, {"clock": 3, "resolution": 3}, ("echo", "ovn"))
        assert found["b"] == Piece(0, {}, ("ovn", "ovn"))
        assert (rest.length_ns, rest.errors_ns) == (20, {"clock": 2, "resolution": 7})


def steps(recording: Recording) -> dict[str, Measured]:
    found = measure(recording)
    total = found["network_blackout_s"].value
    assert total is not None
    values = [found[key].value or 0.0 for key in KEYS]
    assert sum(values) == pytest.approx(total, abs=1e-5)
    return {key.partition(".")[2]: found[key] for key in KEYS}


def test_on_ovn_the_port_is_held_until_the_rarp_was_seen(tmp_path: Path) -> None:
    found = steps(wired(tmp_path, "to-compute", late_ns=20 * MS))
    values = {name: measured.value for name, measured in found.items()}
    assert values["announce"] == pytest.approx(0.001, abs=1e-5)
    assert values["activation"] == pytest.approx(0.0057 - 0.001, abs=1e-3)
    assert values["flows"] == pytest.approx(0.0021, abs=1e-3)
    assert values["delivery"] == pytest.approx(0.020 - 0.0078, abs=1e-3)
    assert (found["flows"].bound or 0) >= 0.006


def test_with_agents_the_frames_come_when_the_source_is_unplugged(tmp_path: Path) -> None:
    found = steps(record(tmp_path, late_ns=30 * MS))
    reasons = {found[name].reason for name in ("activation", "flows")}
    assert reasons == {"no OVN held the port back until a RARP"}
    assert found["delivery"].value == pytest.approx(0.029, abs=1e-4)


def test_frames_that_came_before_stop_took_nothing(tmp_path: Path) -> None:
    assert steps(record(tmp_path))["delivery"].value == 0


def with_early_frames(recording: Recording, *places: str) -> Recording:
    """The recording with a frame of the instance's at those places, 40 ms before those in which its answer is. These
    are at the router's port when they are at the tap: the script has them there after the client has the answer."""
    path = recording.folder / "announce.parquet"
    place, at_router = pl.col("place"), (pl.col("place") == "router") & (pl.col("way") == "from")
    table = pl.read_parquet(path).with_columns(
        first_wall_ns=pl.when(at_router).then(pl.col("first_wall_ns") - MS).otherwise(pl.col("first_wall_ns"))
    )
    own = (pl.col("node") == DESTINATION) & (pl.col("way") == "from") & (pl.col("kind") == "frame")
    early = pl.col("first_wall_ns") - 40 * MS
    frames = table.filter(own & place.is_in(places)).with_columns(early, early.alias("last_wall_ns"))
    pl.concat([table, frames]).write_parquet(path)
    return Recording(recording.folder)


def test_a_guest_that_is_silent_again_before_it_answers_has_not_answered(tmp_path: Path) -> None:
    found = steps(with_early_frames(record(tmp_path), "tap", "router"))
    assert found["answer"].value == pytest.approx(0.059, abs=1e-5)
    assert (found["routing"].value, found[UNEXPLAINED].value) == (0, 0)


def test_what_the_guest_has_sent_and_the_router_has_not_is_not_the_guest_s_delay(tmp_path: Path) -> None:
    found = steps(with_early_frames(record(tmp_path), "tap"))
    assert found["answer"].value == pytest.approx(0.019, abs=1e-5)
    assert found["routing"].value == pytest.approx(0.040, abs=1e-5)


def answered_again(recording: Recording, *late_ms: float) -> Recording:
    """The recording with second replies to its first probe, so long after RESUME."""
    resume = windows_of(recording).resume
    assert resume is not None
    path = recording.folder / "echo_reply.parquet"
    table = pl.read_parquet(path)
    stamps = [round(resume + late * MS) for late in late_ms]
    walls = [stamp + recording.wall_clock.offset_ns() for stamp in stamps]
    first = pl.concat([table.filter(pl.col("seq") == pl.col("seq").min())] * len(stamps))
    further = first.with_columns(recv_ns=pl.Series(stamps), recv_wall_ns=pl.Series(walls))
    pl.concat([table, further]).write_parquet(path)
    return Recording(recording.folder)


def test_answers_that_its_source_has_given_are_repeats(tmp_path: Path) -> None:
    recording = with_early_frames(record(tmp_path), "tap", "router")
    whole = steps(recording)
    assert whole["repeats"].reason == "the instance answered nothing again"
    found = steps(answered_again(recording, 45, 25, 30))
    kept = ("before_stop", "pause", "announce", "delivery")
    assert [found[name].value for name in kept] == [whole[name].value for name in kept]
    lengths_s = [found[name].value for name in ("answer", "routing", "repeats", UNEXPLAINED)]
    assert lengths_s == pytest.approx([0.019 + 0.015, 0, 0.025, 0], abs=1e-5)


def followed(recording: Recording) -> Recording:
    """The trial of the fake lab with what was seen of its frames: over IPv6 the guest answers 80 ms later, and the way
    to the router takes 5 ms instead of 1."""
    resume = windows_of(recording).resume
    assert resume is not None
    wall = resume + recording.wall_clock.offset_ns()
    seen = [
        (-900, "host-a", "tap", "to", "frame"), (1, "host-b", "tap", "from", "rarp"),
        (2, "host-b", "tap", "to", "frame"),
        (40, "host-b", "tap", "from", "frame"), (41, "host-b", "router", "from", "frame"),
        (120, "host-b", "tap", "from", "frame6"), (125, "host-b", "router", "from", "frame6"),
    ]  # fmt: skip
    rows = [(wall + at * MS, wall + at * MS, *what, 1, "announce", "fabric", "vm-1", "m-1") for at, *what in seen]
    path = recording.folder / "announce.parquet"
    pl.DataFrame(rows, schema=polars_schema("announce"), orient="row").write_parquet(path)
    return Recording(recording.folder)


def test_each_family_has_its_own_steps_and_both_the_same_pause(tmp_path: Path) -> None:
    plan = light(blocks=1, families=["ipv4", "ipv6"], probes={"echo_rate": 500})
    found = measure(followed(record_qemu(tmp_path, plan, later_over_ipv6_s=0.1)))
    for keys, blackout in ((KEYS, "network_blackout_s"), (map(key_of, KEYS), "network_blackout_ipv6_s")):
        total = found[blackout].value
        assert total is not None
        assert sum(found[key].value or 0.0 for key in keys) == pytest.approx(total, abs=1e-5), blackout

    def apart(name: str) -> float:
        key = f"blackout_step_s.{name}"
        first, second = found[key].value, found[key_of(key)].value
        assert first is not None, found[key].reason
        assert second is not None, found[key_of(key)].reason
        return second - first

    differing = {name: apart(name) for name in ("announce", "delivery", "answer", "routing")}
    assert differing == pytest.approx({"announce": 0, "delivery": 0, "answer": 0.080, "routing": 0.004}, abs=1e-5)
    # each blackout begins midway between two probes of its own, which may be after STOP
    assert apart("pause") == pytest.approx(0, abs=0.001)


@pytest.mark.parametrize(
    ("switched", "unblocked", "came", "expected"),
    [
        (90, 100, 120, [("activation", 90), ("flows", 100)]),
        (104, 100, 120, [("activation", 104), ("flows", 100)]),
        (106, 100, 120, [("activation", None), ("flows", 100)]),
        (110, None, 120, [("activation", 110), ("flows", None)]),
        (130, None, 120, [("activation", None), ("flows", None)]),
        (110, None, None, [("activation", None), ("flows", None)]),
    ],
)
def test_a_port_whose_rarp_was_not_seen_is_held_until_its_chassis_is_the_destination(
    switched: int, unblocked: int | None, came: int | None, expected: list[tuple[str, int | None]]
) -> None:
    stamps = {"switched": Stamp(switched, {"resolution": 4, "clock": 1})} | (
        {"unblocked": Stamp(unblocked, {})} if unblocked else {}
    )
    ends = held(Wired(stamps, held=True, unbound_ns=0.0, lag_ns=None), came)
    assert [(name, None if edge is None else edge.ns) for name, edge in ends] == expected


def test_flows_go_when_the_rarp_was_seen_whenever_a_database_tells_of_it() -> None:
    stamps = {"activated": Stamp(8000, {}), "switched": Stamp(8000, {}), "unblocked": Stamp(100, {})}
    ends = held(Wired(stamps, held=True, unbound_ns=0.0, lag_ns=None), 120)
    assert [(name, edge.ns) for name, edge in ends if edge is not None] == [("activation", 100), ("flows", 100)]


def test_flows_that_nobody_saw_go_are_unexplained(tmp_path: Path) -> None:
    whole = steps(wired(tmp_path / "a", "to-compute", late_ns=20 * MS))
    found = steps(wired(tmp_path / "b", "to-compute", keep=r"^(?!.*DELETED)", late_ns=20 * MS))
    assert found["flows"].reason == "nothing showed its end"
    assert found["delivery"].reason == "nothing showed its beginning"
    unseen = [whole[name].value or 0.0 for name in ("flows", "delivery", UNEXPLAINED)]
    assert found[UNEXPLAINED].value == pytest.approx(sum(unseen), abs=1e-5)


def test_where_nobody_followed_the_frames_there_are_none(tmp_path: Path) -> None:
    found = measure(record_qemu(tmp_path))
    assert {found[key].reason for key in KEYS} == {"nobody followed the instance's frames"}
