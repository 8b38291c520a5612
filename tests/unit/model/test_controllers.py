"""Each controller on a scripted trace, against its published rule; ours against what it promises."""

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrascope.model.controllers import (
    Abort,
    Action,
    Advised,
    Controller,
    Fixed,
    Look,
    Nova,
    Ovirt,
    Proxmox,
    SetLimit,
    TurnToPostCopy,
    nova_steps,
)

MB = 1e6


def remaining(values: Sequence[float], rate_Bps: float = 100 * MB) -> list[Look]:
    """A look each second; a rise of what remains is a new round."""
    looks, rounds = [], 1
    for at, value in enumerate(values, start=1):
        rounds += at > 1 and value > values[at - 2]
        looks.append(Look(float(at), value, at * 100 * MB, rounds, rate_Bps))
    return looks


def actions(controller: Controller, looks: Iterable[Look]) -> list[tuple[float, Action]]:
    """What it did, and when."""
    done = []
    for look in looks:
        controller, action = controller.decided(look)
        if action is not None:
            done.append((look.at_s, action))
    return done


def test_a_fixed_limit_decides_nothing() -> None:
    assert actions(Fixed(), remaining([90 * MB, 50 * MB, 80 * MB, 90 * MB])) == []


def test_nova_raises_its_limit_by_the_clock_alone() -> None:
    """The example of downtime_steps' own documentation: 10 steps, 30 s, 3 GB, 400 ms."""
    steps = nova_steps(0.4, 10, 30, 3)
    assert steps == tuple((90.0 * step, (40 + 36 * step) / 1000) for step in range(11))
    looks = [Look(0.5 * half, 1e9, half * MB, 1) for half in range(1, 1900)]
    assert Nova(steps).first_s == 0.04
    found = actions(Nova(steps), looks)
    assert [action for _, action in found] == [SetLimit(limit) for _, limit in steps[1:]]
    assert [at for at, _ in found] == [90.0 * step + 0.5 for step in range(1, 11)]


def test_nova_takes_the_last_step_that_is_due() -> None:
    late = [Look(500.0, 1e9, MB, 1), Look(500.5, 1e9, 2 * MB, 1)]
    assert actions(Nova(((0.0, 0.1), (75.0, 0.2), (150.0, 0.3))), late) == [(500.0, SetLimit(0.3))]


def test_nova_s_options_have_least_values() -> None:
    """100 ms, three steps, 3 s, two gigabytes; whole seconds and milliseconds."""
    assert nova_steps(0.05, 1, 1, 0.5) == ((0.0, 0.033), (6.0, 0.055), (12.0, 0.077), (18.0, 0.1))


def test_ovirt_acts_on_stalled_rounds_and_aborts_at_last() -> None:
    """Limits of 1, 2, 3, 4 and 6 stalled rounds are exceeded by the 2nd, 3rd, 4th, 5th and 7th; the next aborts."""
    found = actions(Ovirt(), remaining([60 * MB, 90 * MB] * 9))
    rises = [float(at) for at in range(2, 19, 2)]
    assert found == [
        (rises[1], SetLimit(0.15)), (rises[2], SetLimit(0.2)), (rises[3], SetLimit(0.3)), (rises[4], SetLimit(0.4)),
        (rises[6], SetLimit(0.5)), (rises[7], Abort()),
    ]  # fmt: skip


def test_ovirt_does_nothing_while_less_remains() -> None:
    assert actions(Ovirt(), remaining([90 * MB - at * MB for at in range(50)])) == []


def test_proxmox_doubles_after_six_rises() -> None:
    found = actions(Proxmox(), remaining([600 * MB, 900 * MB] * 13))
    assert found == [(12.0, SetLimit(0.2)), (24.0, SetLimit(0.4))]


def test_proxmox_counts_no_look_at_which_nothing_was_sent() -> None:
    stalled = [Look(float(at), (900 if at % 2 else 600) * MB, 100 * MB, 1) for at in range(1, 60)]
    assert actions(Proxmox(), stalled) == []


def test_proxmox_counts_nothing_left_as_a_rise_and_looks_more_often_near_the_end() -> None:
    done = [Look(float(at), 0.0, at * 100 * MB, at) for at in range(1, 7)]
    assert actions(Proxmox(), done) == [(6.0, SetLimit(0.2))]
    controller = Proxmox()
    for look in remaining([900 * MB, 800 * MB]):
        controller, _ = controller.decided(look)
    assert controller.look_s == 1.0
    controller, _ = controller.decided(Look(3.0, 10 * MB, 300 * MB, 1))
    assert controller.look_s == 0.1


def test_ours_leaves_rounds_that_shrink_alone() -> None:
    looks = [Look(float(at), 800 * MB / 2**at, at * 100 * MB, at, 100 * MB) for at in range(1, 12)]
    assert actions(Advised(0.3, 1.0), looks) == []


def test_ours_raises_the_limit_to_what_a_stalled_round_takes() -> None:
    looks = [Look(float(at), 50 * MB, at * 50 * MB, at, 100 * MB) for at in range(1, 6)]
    ((at, action),) = actions(Advised(0.3, 1.0), looks)
    assert isinstance(action, SetLimit)
    assert at == 3.0
    assert action.limit_s == pytest.approx(0.55)


def test_ours_turns_to_post_copy_where_more_would_be_needed_than_is_borne() -> None:
    looks = [Look(float(at), 200 * MB, at * 50 * MB, at, 100 * MB) for at in range(1, 9)]
    assert actions(Advised(0.3, 1.0, may_turn=True), looks) == [(3.0, TurnToPostCopy())]
    assert actions(Advised(0.3, 1.0), looks) == [(3.0, SetLimit(1.0))]


@given(st.lists(st.floats(0, 1e10), min_size=1, max_size=60), st.floats(1e3, 1e10), st.booleans())
def test_ours_never_lets_the_guest_stand_longer_than_is_borne(left: list[float], rate: float, turns: bool) -> None:
    looks = [Look(float(at), value, at * MB, at, rate) for at, value in enumerate(left, start=1)]
    found = [action for _, action in actions(Advised(0.1, 0.5, may_turn=turns), looks)]
    limits = [action.limit_s for action in found if isinstance(action, SetLimit)]
    assert all(0.1 < limit <= 0.5 for limit in limits)
    assert limits == sorted(set(limits))
    assert not [action for action in found if isinstance(action, Abort)]
    assert found.count(TurnToPostCopy()) <= turns


def test_ours_refuses_an_advised_limit_that_is_not_borne() -> None:
    with pytest.raises(ValueError, match=r"1\.5 s is advised, and 1 s"):
        Advised(1.5, 1)
