"""Which accelerator is chosen, and that a proof that failed is not waited for again and again."""

import asyncio
import json
from pathlib import Path

import pytest

from migrascope.lab import accelerator
from migrascope.node.process import ProcessError


class Proof:
    """What a boot under KVM would give, and how often it was asked for."""

    def __init__(self, folder: Path) -> None:
        self.runs, self.asked, self._folder = False, 0, folder

    async def works(self, *_: object) -> bool:
        self.asked += 1
        return self.runs

    def choose(self, wanted: str = "auto", program: str = "qemu") -> str:
        return asyncio.run(accelerator.choose(wanted, program, None, Path("kernel"), self._folder))


@pytest.fixture
def proof(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Proof:
    made = Proof(tmp_path)
    (tmp_path / "device").touch()
    monkeypatch.setattr(accelerator, "works", made.works)
    monkeypatch.setattr(accelerator, "DEVICE", tmp_path / "device")
    monkeypatch.setattr(accelerator, "KEPT", tmp_path / "state/kvm.json")
    return made


def test_a_proof_that_failed_is_kept_for_its_program(proof: Proof) -> None:
    assert [proof.choose(), proof.choose()] == ["tcg", "tcg"]
    assert proof.asked == 1
    proof.choose(program="another")
    assert proof.asked == 2


def test_what_runs_guests_is_proved_each_time(proof: Proof) -> None:
    proof.runs = True
    assert [proof.choose(), proof.choose()] == ["kvm", "kvm"]
    proof.runs = False
    assert proof.choose() == "tcg"


def test_who_wants_kvm_has_it_tried_again_for_all(proof: Proof) -> None:
    assert proof.choose() == "tcg"
    with pytest.raises(ProcessError, match="no guest boots under KVM"):
        proof.choose("kvm")
    proof.runs = True
    assert proof.choose() == "tcg"
    assert proof.choose("kvm") == "kvm"
    assert proof.choose() == "kvm"


def test_after_a_day_or_with_a_new_device_it_is_tried_again(proof: Proof, tmp_path: Path) -> None:
    proof.choose()
    kept = json.loads(accelerator.KEPT.read_text())
    accelerator.KEPT.write_text(json.dumps({tried: at - accelerator.KEPT_S for tried, at in kept.items()}))
    proof.choose()
    assert proof.asked == 2
    (tmp_path / "other").touch()
    (tmp_path / "other").replace(tmp_path / "device")
    proof.choose()
    assert proof.asked == 3


@pytest.mark.parametrize("text", ["", "[]", "{", '{"x": "y"}'])
def test_what_is_kept_may_be_damaged(proof: Proof, text: str) -> None:
    accelerator.KEPT.parent.mkdir()
    accelerator.KEPT.write_text(text)
    assert proof.choose() == "tcg"
    assert proof.asked == 1


def test_without_a_device_nothing_is_tried(proof: Proof, tmp_path: Path) -> None:
    (tmp_path / "device").unlink()
    assert proof.choose() == "tcg"
    assert proof.asked == 0
