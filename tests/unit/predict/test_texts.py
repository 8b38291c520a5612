"""Tables of predictions fit into a terminal, and lose nothing."""

import pytest

from migrascope.predict.texts import WIDTH, named

SHORT = ["time 1.02 s", "pause 31 ms", "data 29 MB", "ends 97 %"]
LONG = ["time 123.45 s (101.23–154.32), was 122.07 s", "pause 1310 ms (1001–1745), was 1322 ms", "data 1 MB", "ends"]


def test_what_fits_stands_beside_each_other() -> None:
    assert named(["1 pre-copy"], [SHORT]) == ["1 pre-copy", f"  {'  '.join(SHORT)}"]
    assert named([], []) == []


@pytest.mark.parametrize("figures", [[LONG], [SHORT, LONG], [LONG, SHORT[:3], [*SHORT, "waits up to 210 ms"]]])
def test_what_is_wider_is_broken_and_stays_in_columns(figures: list[list[str]]) -> None:
    lines = named([f"name {at}" for at in range(len(figures))], figures)
    assert max(map(len, lines)) <= WIDTH
    shown = "".join(lines).replace(" ", "")
    assert shown == "".join(f"name {at}{''.join(row)}" for at, row in enumerate(figures)).replace(" ", "")
    assert [line for line in lines if not line.startswith("  ")] == [f"name {at}" for at in range(len(figures))]


def test_columns_are_one_beneath_the_other() -> None:
    first, second = named(["a", "b"], [["time 1 s", "ends"], ["time 100 s", "ends"]])[1::2]
    assert first.index("ends") == second.index("ends")
