"""What an operator of the QEMU lab does next."""

import pytest

from migrascope.lab.operator import PATIENCE_S
from migrascope.lab.qemu.rescue import next_step

AGAIN = "start it again from its volume"


@pytest.mark.parametrize(
    ("states", "waited_s", "step"),
    [
        ({"host-a": "postmigrate", "host-b": "running"}, 0.0, None),
        ({"host-a": "running", "host-b": "inmigrate"}, PATIENCE_S - 0.1, None),
        ({"host-a": "finish-migrate", "host-b": "running"}, PATIENCE_S, AGAIN),
        ({"host-a": "io-error"}, 0.0, "cont on host-a"),
        ({"host-a": "postmigrate", "host-b": "io-error"}, 0.0, "cont on host-b"),
        ({"host-b": "inmigrate"}, PATIENCE_S - 0.1, None),
        ({"host-b": "inmigrate"}, PATIENCE_S, AGAIN),
        ({"host-a": "postmigrate"}, 0.0, AGAIN),
        ({}, 0.0, AGAIN),
    ],
)
def test_the_next_step_follows_from_what_each_qemu_does(states: dict[str, str], waited_s: float, step: str) -> None:
    assert next_step(states, waited_s) == step
