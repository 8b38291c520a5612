"""The counters of one port: recorded as they are, or, where the kernel has none, not at all."""

from pathlib import Path

import pytest
from pyroute2.netlink.exceptions import NetlinkError
from recorded import program, rows

from migrascope.node.flow import Passed
from migrascope.probe import flow


class Counting:
    """A port through which 100 bytes more have passed at each look."""

    removed = 0

    def __init__(self, name: str, port: int) -> None:
        assert port == 10810
        self.looks = 0

    def read(self) -> Passed:
        self.looks += 1
        return Passed(100 * self.looks, self.looks, 0, 0)

    def remove(self) -> None:
        Counting.removed += 1


def refusing(name: str, port: int) -> Counting:
    raise NetlinkError(95, "no nftables for bridges")


def recorded(folder: Path) -> list[tuple[int, int]]:
    """Of a program that is told to end at once."""
    running = program(folder, port=10810, interval_s=0)
    running.stop(ending=True)
    flow.main(running)
    return [(row["to_bytes"], row["to_packets"]) for row in rows(folder, "flow")]


def test_the_beginning_and_the_end_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "Flow", Counting)
    assert recorded(tmp_path) == [(100, 1), (200, 2)]
    assert Counting.removed == 1


def test_a_kernel_that_cannot_leaves_the_table_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "Flow", refusing)
    assert recorded(tmp_path) == []
