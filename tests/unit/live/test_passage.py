"""What earlier migrations of a guest tell of how its memory goes over: not all of it goes alike."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from faketrial import FACTORS
from foretelling import foretold, reasoned, terms, worst
from looptraces import GIGABIT_BPS, MIB, Trace, traced
from qemuloop import PagedGuest

from migrascope.live.eta import at_request
from migrascope.live.experience import Known, Past, known, past
from migrascope.live.history import Look
from migrascope.live.passage import Moved, Passage, again, between, slower
from migrascope.live.sample import Sample

PAGES = 512 * MIB // 4096
SHRINKS = 0.3
RATE = 60e6


def sample(at_s: float, sent: int, link: int, zeros: int = 0, rounds: int = 1, state: str = "active") -> Sample:
    return Sample(at_s, state, 1_000_000_000, max(0, 1_000_000_000 - sent), sent, zeros, link, rounds)


HALVES = (
    sample(0.0, 0, 0),
    sample(1.0, 200_000_000, 50_000_000),
    sample(1.1, 800_000_000, 50_000_000, 595_000_000),
    sample(3.1, 1_000_000_000, 250_000_000, 595_000_000),
    sample(4.1, 1_050_000_000, 300_000_000, 595_000_000, 2),
    sample(5.1, 1_100_000_000, 350_000_000, 595_000_000, 2),
    sample(6.0, 1_100_000_000, 350_000_000, 595_000_000, 3, "completed"),
)
"""200 MB a second that compress by four, then as good as nothing but empty memory, then 100 MB a second that do not
compress; 100 MB are sent again."""


def test_a_first_copy_is_known_by_how_far_it_is() -> None:
    found = Passage.of(HALVES)
    assert found.by(0) == Moved()
    assert found.by(100_000_000) == Moved(100e6, 25e6, 0.5)
    assert found.by(500_000_000) == Moved(200e6, 50e6, 1.0)  # empty memory counts for nothing
    assert found.by(900_000_000) == Moved(300e6, 150e6, 2.0)
    assert found.by(2_000_000_000) == pytest.approx(Moved(450e6, 300e6, 4.0))


def test_what_is_sent_again_counts_apart() -> None:
    """What begins in the first copy and ends in the second round is of the first."""
    assert Passage.of(HALVES).again == Moved(50e6, 50e6, 1.0)
    assert again([Passage.of(HALVES)] * 2) == Moved(100e6, 100e6, 2.0)
    assert again([replace(Passage.of(HALVES), again=Moved(3e6, 3e6, 0.1))]) is None


def test_what_goes_over_while_the_guest_stands_still_goes_as_fast_on_the_link_as_before() -> None:
    """QEMU does not answer meanwhile; 4 s later it has sent 80 MB more, of which half is left on the link."""
    over = sample(9.1, 1_180_000_000, 390_000_000, 595_000_000, 4, "completed")
    found = Passage.of([*HALVES[:-1], over])
    assert found.again == pytest.approx(Moved(130e6, 90e6, 1.0 + 40e6 / 75e6))
    assert Passage.of([*HALVES[:-1], replace(HALVES[-1], state="postcopy-active"), over]).again == Moved(50e6, 50e6, 1)


def test_a_stretch_that_tells_too_little_is_taken_as_all_of_it() -> None:
    found = [Passage.of(HALVES)]
    assert between(found, 0, 200_000_000) == Moved(200e6, 50e6, 1.0)
    assert between(found, 1_048_000_000) == between(found, 0) == pytest.approx(Moved(450e6, 300e6, 4.0))


@pytest.mark.parametrize(("learnt_s", "times"), [(0.0, 2.0), (1.0, 2.0 / 1.5)])
def test_the_same_memory_is_compared(learnt_s: float, times: float) -> None:
    """It took twice as long, but goes no slower than that migration's average."""
    look = Look(1.0, 0, 100_000_000, 100_000_000, 0, 25_000_000, False)
    assert slower([Passage.of(HALVES)], [look], learnt_s) == pytest.approx(times)


def item(trace: Trace) -> Past:
    found = past(FACTORS, trace.samples, took_s=trace.took_s)
    assert found is not None
    return found


def taught(trace: Trace) -> Known:
    """By one migration of the same guest, and of it by its memory's speed alone."""
    return known(FACTORS, [item(trace)])


def guest_that_compresses(where: str) -> dict[str, Any]:
    """Memory of which the first half, or all that the guest does not write to, leaves less than a third on the link."""
    if where == "first half":
        share = np.where(np.arange(PAGES) < PAGES // 2, SHRINKS, 1.0)
    else:
        share = np.where(PagedGuest.of(512, 328, (128, RATE), seed=1).rates > 0, 1.0, SHRINKS)
    return {"wire_share": share, "seed": 1, "held_mib": 200}


@pytest.mark.parametrize("where", ["first half", "not written"])
def test_memory_that_does_not_compress_as_what_went_before_is_foretold_by_an_earlier_migration(where: str) -> None:
    guest = guest_that_compresses(where)
    trace, earlier = traced(RATE, **guest), taught(traced(RATE, **guest))
    assert earlier.passages
    said = foretold(trace, terms(RATE), earlier)
    assert worst(said, trace.took_s) < 0.1
    assert reasoned(said)
    assert worst(foretold(trace, terms(RATE), replace(earlier, passages=())), trace.took_s) > 0.1


def test_before_its_first_sample_it_is_expected_to_go_as_the_one_before() -> None:
    guest = guest_that_compresses("first half")
    trace, earlier = traced(RATE, **guest), taught(traced(RATE, **guest))
    assert at_request(terms(RATE), earlier).end_s == pytest.approx(trace.took_s, rel=0.1)


def test_a_migration_that_goes_otherwise_is_foretold_by_what_it_does_itself() -> None:
    """The link carries half of what it did."""
    guest = guest_that_compresses("first half")
    trace, earlier = traced(20e6, **guest, link_Bps=GIGABIT_BPS / 2), taught(traced(20e6, **guest))
    assert trace.took_s is not None
    said = foretold(trace, replace(terms(20e6), link_Bps=None), earlier)
    assert said[0].end_s is not None
    assert said[0].end_s < 0.6 * trace.took_s
    assert worst(said, trace.took_s) < 0.1


def test_post_copy_goes_by_what_is_seen_after_the_switch() -> None:
    slow = traced(RATE, start_postcopy_s=0.5, postcopy_Bps=GIGABIT_BPS / 3)
    late = [forecast for forecast in foretold(slow, terms(RATE), taught(traced(RATE))) if forecast.at_s > 1.5]
    assert worst(late, slow.took_s) < 0.1


def test_only_the_same_memory_over_the_same_link_tells() -> None:
    one = item(traced(RATE, held_mib=200))
    assert known(FACTORS, [one]).passages == (one.passage,)
    assert one.passage is not None
    for other in ({"policy": "tls"}, {"link_bps": 1e8}, {"resident_bytes": 1}, {"vcpus": 2}):
        assert known(replace(FACTORS, **other), [one]).passages == ()
