"""What QEMU, libvirt and Nova say of a migration under way, as one kind of sample; what earlier trials teach."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudtrial
import pytest
from faketrial import FACTORS, PLAN, record
from guestpages import Guest, migrated

from migrascope.live.eta import at_request
from migrascope.live.experience import NOTHING, OWN_BYTES, SPREAD, SPREAD_OF_OTHERS, known, past
from migrascope.live.history import History
from migrascope.live.recorded import before_of, limited, past_of, resident_of, samples_of
from migrascope.live.sample import Sample, of_libvirt, of_nova, of_qemu
from migrascope.live.terms import Terms, terms_of
from migrascope.model.plan import Plan

QEMU: dict[str, Any] = {
    "status": "active", "expected-downtime": 30, "cpu-throttle-percentage": 20, "xbzrle-cache": {"pages": 10},
    "ram": {
        "total": 1082990592, "remaining": 28282880, "transferred": 161040166, "page-size": 4096, "normal": 38791,
        "duplicate": 218705, "dirty-sync-count": 2, "dirty-pages-rate": 459,
    },
}  # fmt: skip
LIBVIRT: dict[str, Any] = {
    "operation": 5, "time_elapsed": 3214, "downtime": 30, "memory_total": 1082990592, "memory_processed": 161040166,
    "memory_remaining": 28282880, "memory_constant": 218705, "memory_normal": 38791, "memory_normal_bytes": 158887936,
    "memory_dirty_rate": 459, "memory_iteration": 2, "memory_page_size": 4096, "type": 2, "auto_converge_throttle": 20,
}  # fmt: skip
NOVA: dict[str, Any] = {
    "status": "running", "memory_total_bytes": 1082990592, "memory_processed_bytes": 161040166,
    "memory_remaining_bytes": 28282880,
}  # fmt: skip


def test_qemu_and_libvirt_say_the_same() -> None:
    qemu = of_qemu({**QEMU, "xbzrle-cache": {}}, 3.0)
    assert qemu == of_libvirt(LIBVIRT, 3.0)
    assert qemu is not None
    assert (qemu.sent, qemu.zero_bytes, qemu.rounds) == (257496 * 4096, 218705 * 4096, 2)
    assert (qemu.dirty_Bps, qemu.throttle, qemu.expected_downtime_s) == (459 * 4096, 0.2, 0.03)


def test_a_page_that_xbzrle_sends_whole_counts_once() -> None:
    """QEMU counts what the cache holds as encoded, and what took too much room then among the normal pages, too
    (save_xbzrle_page in migration/ram.c)."""
    plain = of_qemu({**QEMU, "xbzrle-cache": {}}, 3.0)
    encoded = of_qemu({**QEMU, "xbzrle-cache": {"pages": 10, "overflow": 4}}, 3.0)
    virt = of_libvirt({**LIBVIRT, "compression_pages": 10, "compression_overflow": 4}, 3.0)
    assert plain is not None
    assert encoded is not None
    assert encoded.sent - plain.sent == 6 * 4096
    assert virt == encoded


def test_nova_counts_neither_rounds_nor_empty_memory() -> None:
    nova = of_nova([NOVA], 3.0)
    assert nova is not None
    assert (nova.remaining, nova.transferred, nova.rounds, nova.sent_is_exact) == (28282880, 161040166, None, False)


@pytest.mark.parametrize("answer", [{}, {"status": "setup"}, {"status": "active", "ram": {"total": 0}}])
def test_qemu_without_counts_is_no_sample(answer: dict[str, Any]) -> None:
    assert of_qemu(answer, 1.0) is None


def test_others_without_counts_are_no_samples() -> None:
    assert of_nova([], 1.0) is None
    assert of_nova([{**NOVA, "memory_total_bytes": None}], 1.0) is None
    assert of_libvirt({**LIBVIRT, "memory_total": 0}, 1.0) is None
    assert of_libvirt({**LIBVIRT, "operation": 4}, 1.0) is None


def sample(at_s: float, remaining: int, sent: int, rounds: int | None = 1) -> Sample:
    return Sample(at_s, "active", 1000, remaining, sent, 0, sent, rounds, sent_is_exact=rounds is not None)


def test_a_round_that_is_over_says_what_was_dirtied_in_it() -> None:
    history = History.of(sample(0.0, 1000, 0)).then(sample(1.0, 400, 600)).then(sample(2.0, 500, 900, 2))
    (turn,) = history.turns
    assert (turn.took_s, turn.left, turn.dirtied, turn.remaining) == (2.0, 100, 400, 500)
    assert history.rounds == 2


def test_empty_pages_are_no_part_of_what_the_first_copy_left() -> None:
    """They went over in no time before the look, however long before the sample that was."""
    old = sample(2.0, 113_000_000, 400_000_000)
    new = replace(sample(2.1, 67_000_000, 508_000_000, 2), zero_bytes=97_000_000, looked_s=2.03)
    turn = History.of(old).then(new).turns[-1]
    assert turn.left == pytest.approx(113e6 - 97e6 - 0.3 * 11e6, rel=0.01)
    assert turn.dirtied == 62_000_000


def test_where_nobody_counts_rounds_one_begins_when_more_is_left() -> None:
    history = History.of(sample(0.0, 1000, 0, None)).then(sample(1.0, 400, 600, None))
    assert history.speed_Bps() == 600
    assert history.then(sample(2.0, 500, 900, None)).rounds == 2


def test_while_nothing_goes_over_the_speed_is_not_counted() -> None:
    """As where multifd waits for its channels."""
    history = History.of(sample(0.0, 1000, 0))
    for at_s, sent in ((0.25, 25), (0.5, 50), (0.75, 50), (1.0, 75)):
        history = history.then(sample(at_s, 1000 - sent, sent))
    assert history.speed_Bps() == 100
    assert history.link_Bps() == 100


def test_nova_is_asked_more_often_than_it_counts() -> None:
    history = History.of(sample(0.0, 1000, 0, None))
    for at_s in (1.0, 2.0, 3.0, 4.0):
        history = history.then(sample(at_s, 1000, 0, None))
    history = history.then(sample(5.0, 500, 500, None))
    assert history.speed_Bps() == 100
    assert history.link_Bps() == 100


def test_a_sample_from_the_past_is_left_out() -> None:
    history = History.of(sample(1.0, 1000, 0))
    assert history.then(sample(0.5, 900, 100)) == history


def test_the_same_guest_teaches_most() -> None:
    samples, took_s = migrated(Guest(write_Bps=40e6))
    assert took_s is not None
    item = past(FACTORS, samples, resident=400_000_000)
    assert item is not None
    assert item.first_copy == pytest.approx(Guest().held + Guest().set_bytes, rel=0.01)
    assert item.speed_Bps == pytest.approx(Guest().link_Bps, rel=0.05)
    same = known(FACTORS, [item])
    assert (same.first_copy, same.spread, same.first_turn) == (item.first_copy, SPREAD, item.first_turn)
    assert same.lead_s == samples[0].at_s
    other = replace(FACTORS, scenario="none")
    bigger = known(other, [item], resident=410_000_000)
    assert bigger.first_copy == item.first_copy + 10_000_000
    assert bigger.first_turn is None
    assert known(other, [item]).spread == SPREAD_OF_OTHERS
    assert known(replace(FACTORS, link_bps=1e8), [item]).speed_Bps is None


def test_one_that_was_stopped_at_once_teaches_its_speed_and_not_how_fast_it_writes() -> None:
    """The downtime limit lets QEMU stop it before anything is copied; until that is over QEMU does not answer."""
    total, held = 1000_000_000, 200_000_000

    def at(seconds: float, state: str, sent: int, zeros: int, rounds: int) -> Sample:
        return Sample(seconds, state, total, total - sent, sent, zeros, sent - zeros, rounds)

    begin, end = at(0.1, "active", 10_000_000, 9_000_000, 1), at(2.1, "completed", total, total - held, 3)
    silent = past(FACTORS, [begin, end])
    early = past(FACTORS, [begin, at(0.2, "active", 20_000_000, 9_000_000, 2), end])
    for item in (silent, early):
        assert item is not None
        assert (item.first_copy, item.first_turn) == (held, None)
    assert silent is not None
    assert silent.speed_Bps == pytest.approx((held - 1_000_000) / 2)


def test_what_empty_memory_takes_and_how_long_its_end_comes_after_the_last_of_it_is_learnt() -> None:
    def at(seconds: float, left: int, sent: int, zeros: int) -> Sample:
        state = "active" if left else "completed"
        return Sample(seconds, state, 1_200_000_000, left, sent, zeros, sent - zeros, 1)

    seen = [
        at(0.0, 1_200_000_000, 0, 0),
        at(1.0, 1_100_000_000, 100_000_000, 0),
        at(1.5, 50_000_000, 1_150_000_000, 1_000_000_000),  # 50 MB of it in 0.5 s
        at(1.7, 30_000_000, 1_170_000_000, 1_000_000_000),
        at(2.2, 0, 1_200_000_000, 1_000_000_000),
    ]
    item = past(FACTORS, seen, took_s=2.5)
    assert item is not None
    assert item.speed_Bps == 1e8
    assert item.empty_s == 0
    slower = past(FACTORS, [replace(sample, at_s=sample.at_s + (sample.at_s > 1)) for sample in seen], took_s=3.5)
    assert slower is not None
    assert slower.empty_s == pytest.approx(1e-9)
    assert slower.settle_s == pytest.approx(3.5 - 2.7 - 0.3)
    assert known(FACTORS, [item]).settle_s == pytest.approx(2.5 - 1.7 - 0.3)
    assert known(replace(FACTORS, link_bps=FACTORS.link_bps / 10), [item]).settle_s == pytest.approx(0.04 + 4.6)
    assert known(replace(FACTORS, policy="tls"), [item]).settle_s == NOTHING.settle_s


def test_one_that_was_not_carried_through_teaches_nothing() -> None:
    assert past(FACTORS, []) is None
    assert past(FACTORS, migrated(Guest())[0][:4]) is None
    assert known(FACTORS, []) == NOTHING


def test_before_any_the_process_tells_how_much_of_its_memory_holds_something() -> None:
    first = known(FACTORS, [], resident=400_000_000)
    assert (first.first_copy, first.spread) == (400_000_000 - OWN_BYTES, SPREAD_OF_OTHERS)
    assert (first.lead_s, first.speed_Bps, first.first_turn) == (None, None, None)


def test_a_plan_says_how_a_migration_is_set() -> None:
    plan = Plan.model_validate(
        {
            "axes": {"policy": ["auto-converge", "post-copy"], "write_rate": ["40MB/s"]},
            "windows": {"limit": "15s"},
        }
    )
    factors = replace(FACTORS, policy="auto-converge", write_Bps=4e7, write_set_bytes=2**27, write_pattern="hot")
    found = terms_of(plan, factors)
    assert found == Terms(
        0.3, 15.0, False, found.slows, None, 4e7, 2**27, 1.25e8, memory_bytes=factors.memory_bytes, write_pattern="hot"
    )
    assert found.slows is not None
    assert terms_of(plan, replace(factors, policy="post-copy")).turns is not None


def test_novas_limit_is_the_one_in_force() -> None:
    plan = Plan.model_validate({"lab": {"kind": "openstack"}})
    found = terms_of(plan, FACTORS)
    assert found.helped
    early, last = found.limited({"downtime-limit": 30}), found.limited({"downtime-limit": 300})
    assert (early.limit_s, early.helped) == (0.03, True)
    assert (last.limit_s, last.helped) == (0.3, False)
    assert found.limited({}) == found


def test_a_recorded_trial_has_its_samples_and_teaches(tmp_path: Path) -> None:
    recording = record(tmp_path, PLAN)
    samples = samples_of(recording)
    assert samples
    assert samples[-1].state == "completed"
    assert [item.at_s for item in samples] == sorted(item.at_s for item in samples)
    assert resident_of(recording) == 200 << 20
    item = past_of(recording, 5.0)
    assert item is not None


def test_a_trial_that_nova_alone_counts_is_replayed(tmp_path: Path) -> None:
    """No hypervisor in reach: it has its samples and forecasts, and teaches nothing."""
    recording = cloudtrial.api_only(tmp_path)
    samples = samples_of(recording)
    assert samples
    assert not any(item.sent_is_exact for item in samples)
    plan = Plan.model_validate({"lab": {"kind": "openstack"}})
    terms = limited(before_of(recording).terms(terms_of(plan, FACTORS)), recording)
    assert terms == terms_of(plan, FACTORS)
    forecast = at_request(terms, known(FACTORS, [], resident_of(recording)))
    for item in samples:
        forecast = forecast.then(item, terms, NOTHING)
    assert (forecast.verdict, forecast.at_s) == ("unknown", samples[0].at_s)
    assert past_of(recording, 5.0) is None


def test_a_trial_without_counts_teaches_nothing(tmp_path: Path) -> None:
    assert samples_of(record(tmp_path / "a", PLAN, drop=("qmp_status",))) == []
    assert past_of(record(tmp_path / "b", PLAN, failure="not-converged"), None) is None
