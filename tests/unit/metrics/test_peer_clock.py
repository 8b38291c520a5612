"""The step of a peer's clock against pauses that are known, in series of stamps as peers send them."""

import itertools

import numpy as np
import pytest

from migrascope.metrics.peer_clock import Step, Unknown, step

S = 10**9
PAUSE_AT = 1000 * S


def series(
    *, pause_s: float, network_s: float = 0.05, rate: float = 1000, drift: float = 0.0, noise_s: float = 0.0005,
    first: int = 12345, every_s: float = 0.02, lost: float = 0.0, advanced: bool = False, sides_s: float = 6.0,
    seed: int = 1,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[int, int]]:  # fmt: skip
    """Segments of a peer that answers what is sent it at a fixed rate, is paused and then cut off for so long; its
    clock runs slower than ours by `drift`. What is sent during the outage is lost, or answered at its end."""
    random = np.random.default_rng(seed)
    outage = PAUSE_AT, PAUSE_AT + round((pause_s + network_s) * S)
    rows = []
    for at in np.arange(PAUSE_AT - sides_s * S, outage[1] + sides_s * S, every_s * S):
        answered = float(at)
        if outage[0] <= at < outage[1]:
            if random.random() < 0.5:
                continue
            answered = float(outage[1]) + random.random() * 1e6
        elif random.random() < lost:
            continue
        stood = 0.0 if advanced or answered < outage[1] else pause_s * S
        guest = (answered - stood - (PAUSE_AT - sides_s * S)) * (1 - drift)
        ticks = first + int(guest * rate / S)
        delay = 0.0002 * S + random.exponential(noise_s * S)
        rows.append((answered + delay, ticks % 2**32))
    rows.sort()
    arrived, stamps = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    return np.ones(len(rows), dtype=np.int64), stamps, arrived, outage


def found(**given: float) -> Step:
    connection, stamps, arrived, outage = series(**given)  # type: ignore[arg-type]
    before = arrived[arrived <= outage[0]][-1]
    after = arrived[arrived >= outage[1]][0]
    return step(connection, stamps, arrived, (int(before), int(after)))


@pytest.mark.parametrize(
    ("pause_s", "rate", "drift"),
    list(itertools.product((0.0, 0.02, 0.2, 2.0), (100, 250, 1000, 1e6), (-1e-4, 0.0, 1e-4))),
)
def test_a_pause_is_found_within_its_bound(pause_s: float, rate: float, drift: float) -> None:
    for seed in range(5):
        told = found(pause_s=pause_s, rate=rate, drift=drift, seed=seed)
        assert told.rate == rate
        assert abs(told.seconds - pause_s) <= told.bound_s
        assert told.bound_s < 1.6 / rate + 0.001
        assert told.still == (pause_s > told.bound_s) or abs(pause_s - told.bound_s) < told.bound_s


def test_loss_and_noisy_delays_are_within_the_bound_almost_always() -> None:
    off = [found(pause_s=0.2, noise_s=0.003, lost=0.3, drift=5e-5, seed=seed) for seed in range(60)]
    assert sum(abs(told.seconds - 0.2) <= told.bound_s for told in off) >= 57
    assert np.median([told.bound_s for told in off]) < 0.004


@pytest.mark.parametrize("ahead", [100, 3000, 6100, 9000])
def test_the_stamp_wraps_around(ahead: int) -> None:
    told = found(pause_s=0.2, first=2**32 - ahead)
    assert abs(told.seconds - 0.2) <= told.bound_s < 0.003


def test_a_wrap_within_a_long_outage_of_fast_ticks() -> None:
    told = found(pause_s=30, rate=1e6, first=2**32 - 7_000_000)
    assert abs(told.seconds - 30) <= told.bound_s < 0.003


def test_a_clock_that_was_advanced_did_not_stand_still() -> None:
    told = found(pause_s=0.5, advanced=True)
    assert not told.still
    assert abs(told.seconds) <= told.bound_s


def test_a_network_that_was_cut_is_no_pause() -> None:
    assert not found(pause_s=0, network_s=2).still


def test_a_few_segments_after_it_are_enough_for_a_wider_bound() -> None:
    connection, stamps, arrived, outage = series(pause_s=0.2)
    kept = arrived < outage[1] + S // 3
    told = step(connection[kept], stamps[kept], arrived[kept], outage)
    assert abs(told.seconds - 0.2) <= told.bound_s < 0.01


def several(pauses_s: list[tuple[float, float]], noise_s: float = 0.0005) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Segments, 50 a second for 30 s, of a guest that is paused at these seconds for so long."""
    random = np.random.default_rng(2)
    rows = []
    for sent in np.arange(0, 30, 0.02):
        at = float(sent)
        for begin, length in pauses_s:
            if begin <= at < begin + length:
                at = begin + length
        stood = sum(length for begin, length in pauses_s if begin < at)
        rows.append((PAUSE_AT + round((at + random.exponential(noise_s)) * S), int((at - stood) * 1000)))
    rows.sort()
    arrived, stamps = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    return np.ones(len(rows), dtype=np.int64), stamps, arrived


@pytest.mark.parametrize("asked", range(6))
def test_each_of_several_pauses_is_found_beside_the_others(asked: int) -> None:
    pauses = [(4.0, 0.5), (8.0, 1.0), (12.0, 0.1), (13.0, 0.2), (18.0, 0.07), (22.0, 2.0)]
    begin, length = pauses[asked]
    over = PAUSE_AT + round((begin - 0.001) * S), PAUSE_AT + round((begin + length) * S)
    told = step(*several(pauses), over)
    assert told.rate == 1000
    assert abs(told.seconds - length) <= told.bound_s < 0.005


def test_a_network_that_was_cut_at_other_times_breaks_nothing() -> None:
    connection, stamps, arrived = several([(20.0, 0.3)])
    cut = np.zeros(len(arrived), dtype=bool)
    for begin in (5, 9, 14, 24):
        cut |= (arrived > PAUSE_AT + begin * S) & (arrived < PAUSE_AT + begin * S + S)
    told = step(
        connection[~cut], stamps[~cut], arrived[~cut], (PAUSE_AT + 20 * S - S // 1000, PAUSE_AT + 203 * S // 10)
    )
    assert told.segments == (~cut).sum()
    assert abs(told.seconds - 0.3) <= told.bound_s < 0.004


def test_pauses_too_near_to_one_another_are_not_told_apart() -> None:
    pauses = [(10.0, 0.2), (10.25, 0.2)]
    with pytest.raises(Unknown, match="time stamps were seen for too short a time"):
        step(*several(pauses), (PAUSE_AT + 10_249 * S // 1000, PAUSE_AT + 1045 * S // 100))


def test_stamps_of_another_connection_are_not_compared() -> None:
    connection, stamps, arrived, outage = series(pause_s=0.2)
    connection[arrived >= outage[1]] = 2
    with pytest.raises(Unknown, match="the connection ended"):
        step(connection, stamps, arrived, outage)


def test_what_was_before_another_connection_is_left_out() -> None:
    connection, stamps, arrived, outage = series(pause_s=0.2)
    earlier = arrived < PAUSE_AT - 3 * S
    connection[earlier], stamps[earlier] = 0, (stamps[earlier] + 4_000_000) % 2**32
    told = step(connection, stamps, arrived, outage)
    assert abs(told.seconds - 0.2) <= told.bound_s < 0.004


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (slice(0, 0), "no segment with a time stamp came"),
        (slice(0, 200), "came after it"),
        (slice(-200, None), "came before it"),
        (slice(297, None), "fewer than 5 segments"),
    ],
)
def test_without_segments_it_is_not_known(chosen: slice, words: str) -> None:
    connection, stamps, arrived, outage = series(pause_s=0.2)
    with pytest.raises(Unknown, match=words):
        step(connection[chosen], stamps[chosen], arrived[chosen], outage)


def test_a_peer_whose_stamps_stand_still_tells_nothing() -> None:
    connection, stamps, arrived, outage = series(pause_s=0.2)
    with pytest.raises(Unknown, match="do not advance"):
        step(connection, np.full_like(stamps, 7), arrived, outage)


def test_an_unusual_rate_is_taken_as_it_is_seen() -> None:
    told = found(pause_s=0.2, rate=1024)
    assert abs(told.rate - 1024) < 1
    assert abs(told.seconds - 0.2) <= told.bound_s + 0.001
