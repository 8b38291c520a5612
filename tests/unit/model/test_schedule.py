"""The order of trials: blocks that hold each cell once, shuffled by the seed, the direction alternating."""

from collections import Counter
from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from migrascope.model.axes import Axes
from migrascope.model.plan import Plan
from migrascope.model.schedule import cells, in_second_part, schedule

AXES = Axes.model_validate({"memory": ["1GiB", "512MiB"], "downtime_limit": ["30ms", "300ms"]})


@given(blocks=st.integers(1, 12), seed=st.integers(0, 2**32))
def test_each_block_holds_each_cell_once(blocks: int, seed: int) -> None:
    plan = Plan(blocks=blocks, seed=seed, axes=AXES)
    trials = schedule(plan)
    assert [trial.number for trial in trials] == list(range(1, len(trials) + 1))
    for block in range(1, blocks + 1):
        assert Counter(trial.factors for trial in trials if trial.block == block) == Counter(cells(plan))


@given(st.integers(0, 2**32))
def test_the_direction_alternates_by_block(seed: int) -> None:
    for trial in schedule(Plan(blocks=4, seed=seed)):
        a_to_b = ("host-a", "host-b")
        assert (trial.source, trial.destination) == (a_to_b if trial.block % 2 else a_to_b[::-1])


def test_the_same_seed_gives_the_same_order_and_another_another() -> None:
    plans = [Plan(seed=seed) for seed in (3, 3, 4)]
    first, same, other = ([trial.factors for trial in schedule(plan)] for plan in plans)
    assert first == same
    assert first != other


def test_cells_are_drawn_once_and_are_the_same_in_each_block() -> None:
    axes = Axes.model_validate({"write_rate": ["0MB/s", "1MB/s", "2MB/s"], "pattern": ["random", "hot"]})
    full = cells(Plan(axes=axes))
    drawn = [cells(Plan(axes=axes, cells=7, seed=seed)) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 7 < len(full) == 20
    assert set(drawn[0]) < set(full)
    trials = schedule(Plan(axes=axes, cells=7, seed=1, blocks=3))
    for block in (1, 2, 3):
        assert Counter(trial.factors for trial in trials if trial.block == block) == Counter(drawn[0])
    assert len(cells(Plan(axes=axes, cells=20))) == 20


ALSO = {"blocks": 2, "scenario": ["none"], "resident": ["0B", "128MiB"], "downtime_limit": ["300ms", "10s"]}


@given(seed=st.integers(0, 2**32), blocks=st.integers(2, 5))
def test_a_second_part_is_in_its_blocks_among_the_others(seed: int, blocks: int) -> None:
    """A cell that both parts have is tried once in a block."""
    plan = Plan.model_validate({"seed": seed, "blocks": blocks, "also": ALSO})
    alone = cells(plan.model_copy(update={"also": None}))
    trials = schedule(plan)
    assert (len(alone), len(cells(plan))) == (4, 7)
    for block in range(1, blocks + 1):
        expected = cells(plan) if block <= 2 else alone
        assert Counter(trial.factors for trial in trials if trial.block == block) == Counter(expected)
    for trial in trials:
        assert in_second_part(plan.base_units(), trial.factors) == (trial.factors not in alone)


def test_a_second_part_is_shuffled_among_the_first() -> None:
    plans = [Plan.model_validate({"seed": seed, "blocks": 2, "also": ALSO}) for seed in range(20)]
    firsts = [in_second_part(plan.base_units(), schedule(plan)[0].factors) for plan in plans]
    assert any(firsts)
    assert not all(firsts)


def test_a_label_names_what_differs() -> None:
    these = cells(Plan(axes=AXES))
    assert len({factors.label(these) for factors in these}) == len(these)
    assert [factors.label(cells(Plan())) for factors in cells(Plan())] == ["none", "offline", "online", "relay"]


def test_a_label_is_in_the_units_of_plans() -> None:
    axes = {"scenario": ["none"], "resident": ["0B", "128MiB"], "downtime_limit": ["300ms", "100s"]}
    these = cells(Plan(axes=Axes.model_validate(axes)))
    assert [factors.label(these) for factors in these] == ["300ms 0B", "300ms 128MiB", "100s 0B", "100s 128MiB"]


def test_without_a_writer_its_set_and_pattern_make_no_cells() -> None:
    axes = {"scenario": ["none"], "write_rate": ["0B/s", "40MB/s"], "pattern": ["random", "hot"], "vcpus": [1, 2]}
    found = cells(Plan(axes=Axes.model_validate(axes)))
    assert [
        (factors.vcpus, factors.write_Bps, factors.write_set_bytes, factors.write_pattern) for factors in found
    ] == [
        (vcpus, *writer)
        for vcpus in (1, 2)
        for writer in ((0.0, 0, "none"), (40e6, 2**27, "random"), (40e6, 2**27, "hot"))
    ]


CLOUD = {"kind": "openstack"}


@given(seed=st.integers(0, 2**32), blocks=st.integers(1, 7))
def test_a_network_s_trials_of_two_blocks_come_together(seed: int, blocks: int) -> None:
    """No more testbeds have to come up than for pairs of blocks."""
    levels = ["agents-vlan", "agents-vxlan", "ovn-geneve"]
    axes = {"network": levels, "downtime_limit": ["30ms", "300ms"]}
    plan = Plan.model_validate({"lab": CLOUD, "blocks": blocks, "seed": seed, "axes": axes})
    trials = schedule(plan)
    for block in range(1, blocks + 1):
        assert Counter(trial.factors for trial in trials if trial.block == block) == Counter(cells(plan))
    for first in range(1, blocks + 1, 2):
        pair = [trial for trial in trials if trial.block in (first, first + 1)]
        assert [trial.number for trial in pair] == list(range(pair[0].number, pair[-1].number + 1))
        stays = [network for network, _ in groupby(trial.factors.network for trial in pair)]
        assert sorted(stays) == sorted(levels)


def test_either_direction_follows_a_testbed_that_has_come_up() -> None:
    made = {"lab": CLOUD, "blocks": 2, "axes": {"network": ["agents-vlan", "ovn-geneve"]}}
    firsts = {schedule(Plan.model_validate(made | {"seed": seed}))[0].block for seed in range(20)}
    assert firsts == {1, 2}
