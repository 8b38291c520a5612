"""What may wait where a link has a rate."""

import pytest

from migrascope.node.link import bucket


def waits(link: str, rate_bps: float) -> int:
    """Bytes that may wait once the burst is used up."""
    made = bucket(link, rate_bps)
    assert made["rate"] == rate_bps / 8
    return made["limit"] - made["burst"]


@pytest.mark.parametrize("link", ["migration", "storage", "management"])
@pytest.mark.parametrize("rate_bps", [1e6, 250e6, 10e9])
def test_sixteen_connections_of_a_node_have_room(link: str, rate_bps: float) -> None:
    assert waits(link, rate_bps) >= 16 * 3 * 65536


@pytest.mark.parametrize("link", ["tenant", "external"])
def test_guests_frames_wait_for_5_ms(link: str) -> None:
    assert waits(link, 250e6) == 156_250
    assert waits(link, 1e6) == 4 * 1500, "of a slow link a few frames"


def test_a_fast_link_has_5_ms_too() -> None:
    assert waits("migration", 34e9) == 21_250_000
