"""`disturbances` on a terminal: a short line for each kind of the lab, and what is missing at the end."""

import io

import pytest
from rich.console import Console

from migrascope.cli import disturbances
from migrascope.model.kinds import KINDS
from migrascope.study.doctor.disturbances import Offer, offers


def printed(monkeypatch: pytest.MonkeyPatch, width: int, lab: str, found: list[Offer] | None = None) -> list[str]:
    """Its lines on a terminal of that width, the last, which names the other lab's kinds, in one. found: instead of
    what is offered on this machine."""
    to = io.StringIO()
    monkeypatch.setattr(disturbances, "stdout", lambda: Console(file=to, width=width, highlight=False))
    monkeypatch.setattr(disturbances, "offers", lambda lab: found or offers(lab))
    assert disturbances.disturbances(lab=lab) == 0
    lines = [line.rstrip() for line in to.getvalue().splitlines()]
    end = next(at for at, line in enumerate(lines) if line.startswith("Only on the lab"))
    return [*lines[:end], " ".join(lines[end:])]


@pytest.mark.parametrize("lab", ["qemu", "openstack"])
@pytest.mark.parametrize("width", [80, 120])
def test_each_kind_of_the_lab_has_one_line(monkeypatch: pytest.MonkeyPatch, width: int, lab: str) -> None:
    offered = [Offer(offer.kind, offer.abilities, offer.phases, True, "") for offer in offers(lab)]
    *lines, last = printed(monkeypatch, width, lab, offered)
    kinds = [kind for kind, made in KINDS.items() if lab in made.labs]
    headings = {KINDS[kind].ability for kind in kinds}
    assert sum(line.startswith(" ") for line in lines) == len(kinds)
    assert sum(not line.startswith(" ") for line in lines) == len(headings)
    assert sorted(line.split()[0] for line in lines if line.startswith(" ")) == sorted(kinds)
    assert not [line for line in lines if "only on" in line]
    others: dict[tuple[str, ...], list[str]] = {}
    for kind, made in KINDS.items():
        if lab not in made.labs:
            others.setdefault(tuple(made.labs), []).append(kind)
    assert last == " ".join(
        f"Only on the lab {' and '.join(labs)}: {', '.join(kinds)}" for labs, kinds in others.items()
    )


def test_what_is_missing_is_marked_and_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = {"link-loss": "nftables: no", "link-down": "tbf: no", "link-rate": "tbf: no"}
    offered = [
        Offer(offer.kind, offer.abilities, offer.phases, offer.kind not in lacking, lacking.get(offer.kind, ""))
        for offer in offers("qemu")
    ]
    lines = printed(monkeypatch, 80, "qemu", offered)
    assert [line.split()[1] for line in lines if line.startswith("✗")][:3] == ["link-down", "link-rate", "link-loss"]
    assert lines[-3:-1] == ["✗ link-down, link-rate: tbf: no", "✗ link-loss: nftables: no"]


def test_what_holds_for_every_kind_names_none(monkeypatch: pytest.MonkeyPatch) -> None:
    offered = [
        Offer(offer.kind, offer.abilities, offer.phases, False, "only root can tell") for offer in offers("qemu")
    ]
    assert printed(monkeypatch, 80, "qemu", offered)[-2] == "✗ only root can tell"
