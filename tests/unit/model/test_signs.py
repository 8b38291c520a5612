"""What the signs of a blackout say together."""

import pytest

from migrascope.model.signs import Sign, judge

NO_RIGHT = "no right to see segments: root, or CAP_NET_RAW"


@pytest.mark.parametrize("kind", ["clock-stopped", "ttl", "mac", "announced"])
def test_each_sign_of_a_move_is_enough(kind: str) -> None:
    found = judge([Sign(kind, 7, "as seen")], [])  # type: ignore[arg-type]
    assert found.verdict == "moved"
    assert found.why.endswith("(as seen)")


def test_all_signs_of_a_move_are_named() -> None:
    assert judge([Sign("clock-stopped", 7, "196 ms"), Sign("ttl", 8, "63 instead of 62")], [NO_RIGHT]).why == (
        "its clock stood still (196 ms); its segments take another path (63 instead of 62)"
    )


@pytest.mark.parametrize("kind", ["new-boot", "reset"])
def test_a_guest_that_was_started_anew_elsewhere_has_not_moved(kind: str) -> None:
    found = judge([Sign("mac", 7), Sign(kind, 8)], [])  # type: ignore[arg-type]
    assert found.verdict == "restarted"
    assert "MAC" not in found.why


def test_the_boot_id_decides_where_a_connection_was_reset() -> None:
    assert judge([Sign("reset", 7), Sign("same-boot", 8), Sign("ttl", 8)], []).verdict == "moved"
    assert judge([Sign("reset", 7), Sign("same-boot", 8)], []).verdict == "no sign"
    assert judge([Sign("reset", 7), Sign("new-boot", 8)], []).verdict == "restarted"


def test_without_any_sign_it_depends_on_who_could_look() -> None:
    assert judge([], []).verdict == "no sign"
    found = judge([], [NO_RIGHT, NO_RIGHT, "no boot id was asked for"])
    assert (found.verdict, found.why) == ("unknown", f"{NO_RIGHT}; no boot id was asked for")


def test_a_boot_that_is_the_same_is_no_sign_of_a_move() -> None:
    assert judge([Sign("same-boot", 7)], [NO_RIGHT]).verdict == "no sign"
