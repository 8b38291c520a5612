"""What a plan lacks here is said before any lab is brought up."""

import os
from pathlib import Path
from typing import Any

import pytest

from migrascope.model.plan import Plan
from migrascope.study.doctor import machine

CAPTURED = Plan.model_validate({"capture": {"enabled": True}})


class Refused:
    """A kernel that gives no ring."""

    def __init__(self, *_: Any) -> None:
        raise OSError(1, "Operation not permitted")


def test_a_plan_without_a_capture_asks_for_none() -> None:
    assert list(machine.capture(Plan())) == []


def test_without_root_nobody_knows_whether_it_can_be_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    (check,) = machine.capture(CAPTURED)
    assert (check.verdict, check.blocks) == ("unknown", False)


def test_a_kernel_that_gives_no_packet_socket_blocks_the_plan_that_captures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(machine, "Ring", Refused)
    (check,) = machine.capture(CAPTURED)
    assert check.blocks
    assert any("capture: the kernel gives no packet socket" in words for words in machine.problems_of(CAPTURED))
    assert not any("capture" in words for words in machine.problems_of(Plan()))


@pytest.mark.parametrize(
    ("there", "accelerator", "said"), [(False, "auto", True), (True, "auto", False), (True, "tcg", True)]
)
def test_a_dirty_limit_needs_kvm(monkeypatch: pytest.MonkeyPatch, there: bool, accelerator: str, said: bool) -> None:
    known = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: there if str(path) == "/dev/kvm" else known(path))
    plan = Plan.model_validate({"axes": {"policy": ["dirty-limit", "pre-copy"]}, "lab": {"accelerator": accelerator}})
    assert any("dirty-limit: a dirty limit needs KVM" in words for words in machine.problems_of(plan)) == said


def test_a_kernel_without_ipv6_blocks_the_plan_that_has_both_families(monkeypatch: pytest.MonkeyPatch) -> None:
    dual = Plan.model_validate({"families": ["ipv4", "ipv6"]})
    assert [check.verdict for check in machine.ipv6(dual)] == ["pass"]
    monkeypatch.setattr(machine, "has_ipv6", lambda: False)
    (check,) = machine.ipv6(dual)
    assert check.blocks
    words = "IPv6: this kernel has none; begin the kernel without ipv6.disable=1, or leave ipv6 out of families"
    assert any(problem.startswith(words) for problem in machine.problems_of(dual))
    assert list(machine.ipv6(Plan())) == []
