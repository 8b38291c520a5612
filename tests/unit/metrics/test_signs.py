"""What the segments, the link and the boot id of a machine show of a blackout."""

import pytest

from migrascope.metrics.signs import Boot, Evidence, OnLink, Segment, shown

S = 10**9
ACK, RST = 16, 4
OVER = (2 * S, 3 * S)
OLD, NEW = "52:54:00:00:00:01", "52:54:00:00:00:02"
NO_RIGHT = "no right to see segments"
ELSEWHERE = OnLink("unseen", "", "it is not on this link", 0)


def segments(paused_s: float, *, ttl_after: int = 63) -> list[Segment]:
    moments = [*range(0, 2 * S + 1, S // 50), *range(3 * S, 4 * S, S // 50)]
    return [
        (1, ACK, (at - (round(paused_s * S) if at >= OVER[1] else 0)) // 10**6, 63 if at < OVER[1] else ttl_after, at)
        for at in moments
    ]


def on_link(*rows: tuple[str, str, int]) -> list[OnLink]:
    return [OnLink(how, mac, "", at) for how, mac, at in rows]


def test_a_guest_that_was_paused_and_kept_its_connection_moved() -> None:
    found = shown(Evidence(segments(0.4, ttl_after=62)), OVER)
    assert found.step is not None
    assert found.step.seconds == pytest.approx(0.4, abs=0.001)
    assert (found.kept, found.judgement.verdict) == (True, "moved")
    assert [(sign.kind, sign.mono_ns) for sign in found.signs] == [("clock-stopped", OVER[1]), ("ttl", OVER[1])]


def test_a_network_that_was_cut_is_no_sign() -> None:
    found = shown(Evidence(segments(0)), OVER)
    assert (found.step, found.kept, found.signs, found.judgement.verdict) == (None, True, [], "no sign")
    assert "the clock was advanced on resume" in found.unknown


def test_a_connection_that_was_reset_is_a_restart() -> None:
    before = [row for row in segments(0) if row[-1] <= OVER[0]]
    found = shown(Evidence([*before, (1, RST, -1, 63, 3 * S), (2, ACK, 5, 63, 3 * S + 1)]), OVER)
    assert (found.kept, found.judgement.verdict) == (False, "restarted")


def test_another_mac_is_a_sign_without_any_segment() -> None:
    first = on_link(("table", OLD, S))
    assert shown(Evidence((), NO_RIGHT, first), OVER).judgement.verdict == "no sign"
    both = on_link(("table", OLD, S), ("table", NEW, 3 * S))
    found = shown(Evidence((), NO_RIGHT, both), OVER)
    assert (found.judgement.verdict, found.signs[0].kind, found.signs[0].mono_ns) == ("moved", "mac", 3 * S)
    assert shown(Evidence((), NO_RIGHT, both), (5 * S, 6 * S)).judgement.verdict == "no sign"


@pytest.mark.parametrize(
    ("how", "words"), [("rarp", "RARP"), ("garp", "gratuitous ARP"), ("na", "neighbour advertisement")]
)
def test_an_announcement_in_the_blackout_is_a_sign(how: str, words: str) -> None:
    found = shown(Evidence((), NO_RIGHT, on_link(("table", OLD, S), (how, OLD, 3 * S - 7), (how, OLD, 3 * S))), OVER)
    assert found.judgement.verdict == "moved"
    assert found.judgement.why == f"its address was announced anew ({words} of {OLD})"
    assert [sign.mono_ns for sign in found.signs] == [3 * S - 7]


@pytest.mark.parametrize("at", [2 * S, 4 * S + 1])
def test_an_announcement_at_another_time_is_none(at: int) -> None:
    assert shown(Evidence((), NO_RIGHT, on_link(("table", OLD, S), ("garp", OLD, at))), OVER).signs == []


def test_who_could_not_look_does_not_know() -> None:
    found = shown(Evidence((), NO_RIGHT, [ELSEWHERE]), OVER)
    assert (found.kept, found.judgement.verdict) == (None, "unknown")
    assert found.judgement.why == f"{NO_RIGHT}; it is not on this link"
    assert shown(Evidence((), NO_RIGHT), OVER).judgement.why == f"{NO_RIGHT}; nothing was seen of its link"


def test_a_clock_that_cannot_be_compared_is_no_evidence_that_nothing_happened() -> None:
    found = shown(Evidence(segments(0)[:101]), OVER)
    assert (found.kept, found.judgement.verdict) == (None, "unknown")


def boots(*rows: tuple[int, str]) -> list[Boot]:
    """Answers 10 ms after the asking; without an id a refusal."""
    return [Boot(at, at + S // 100, boot_id, "" if boot_id else "refused") for at, boot_id in rows]


def test_the_same_boot_id_says_that_it_was_not_started_anew() -> None:
    found = shown(Evidence((), NO_RIGHT, (), boots((S, "a" * 36), (2 * S + 7, ""), (3 * S, "a" * 36))), OVER)
    assert found.judgement.verdict == "no sign"
    assert found.judgement.why == "it has not been started anew (aaaaaaaa…)"


def test_another_boot_id_is_a_restart_whatever_came_first() -> None:
    seen = boots((S, "a"), (3 * S, "a"), (4 * S, "b"))
    found = shown(Evidence(segments(0.4), "", (), seen), OVER)
    assert (found.judgement.verdict, found.judgement.why) == ("restarted", "it has another boot id (b instead of a)")


def test_an_answer_that_was_asked_for_before_the_blackout_is_none_after_it() -> None:
    late = Boot(2 * S - 1, 3 * S + 1, "a", "")
    found = shown(Evidence((), NO_RIGHT, (), [*boots((S, "a")), late]), OVER)
    assert found.judgement.verdict == "unknown"
    assert found.judgement.why.endswith("; its boot id was not told after it")
    found = shown(Evidence((), NO_RIGHT, (), boots((S, ""), (3 * S, "a"))), OVER)
    assert found.judgement.why.endswith("; its boot id was not told before it (refused)")


def test_signs_of_a_migration_count_where_nothing_was_silent_and_the_clock_over_the_silence() -> None:
    whole, silent = (S // 2, 7 * S // 2), OVER
    seen = Evidence(segments(0.4), "", on_link(("table", OLD, S // 4), ("rarp", OLD, S)))
    found = shown(seen, whole, silent)
    assert found.step is not None
    assert found.step.seconds == pytest.approx(0.4, abs=0.001)
    assert [sign["kind"] for sign in found.as_json()["signs"]] == ["clock-stopped", "announced"]
    assert [sign["at_s"] for sign in found.as_json()["signs"]] == [2.5, 0.5]
    assert shown(seen, silent).signs[-1].kind == "clock-stopped"
