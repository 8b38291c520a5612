"""Where a plan has its volumes: what goes with copied ones, and what is refused."""

from typing import Any

import pytest
from pydantic import ValidationError

from migrascope.model.plan import Plan
from migrascope.model.schedule import cells

CUT = {"name": "cut", "kind": "link-down", "target": "migration", "when": "storage-copy", "duration": "2s"}
FULL = {"name": "full", "kind": "no-space", "target": "destination", "when": "first-copy", "duration": "2s"}


def plan(lab: str = "qemu", *tables: dict[str, Any], **axes: Any) -> Plan:
    names = {"disturbance": [table["name"] for table in tables]} if tables else {}
    given = {"scenario": ["none"], **names, **axes}
    return Plan.model_validate({"lab": {"kind": lab}, "axes": given, "disturbance": list(tables)})


def test_storage_is_a_factor_and_shared_unless_a_plan_says_otherwise() -> None:
    assert [cell.storage for cell in cells(plan())] == ["shared"]
    both = cells(plan(storage=["shared", "copied"]))
    assert [cell.label(both) for cell in both] == ["shared", "copied"]


@pytest.mark.parametrize("lab", ["qemu", "libvirt"])
@pytest.mark.parametrize("table", [CUT, {"name": "off", "kind": "abort", "when": "storage-copy"}])
def test_a_copy_can_be_disturbed(lab: str, table: dict[str, Any]) -> None:
    assert cells(plan(lab, table, storage=["copied"]))[0].disturbance == table["name"]


@pytest.mark.parametrize("lab", ["qemu", "libvirt"])
def test_the_destination_s_disk_can_be_full(lab: str) -> None:
    assert cells(plan(lab, FULL, storage=["copied"]))[0].disturbance == "full"


AWAY = {"name": "away", "kind": "link-down", "target": "storage", "when": "first-copy", "duration": "2s"}
TWICE = {"name": "twice", "kind": "second-migration", "when": "storage-copy"}


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (("openstack", [], {"storage": ["copied"]}), "the lab openstack copies no volumes, only qemu and libvirt do"),
        (("fake", [], {"storage": ["shared", "copied"]}), "the lab fake copies no volumes"),
        (("qemu", [], {"storage": ["copied"], "policy": ["post-copy"]}), "policy post-copy: copied: a guest in post"),
        (("qemu", [], {"storage": ["copied"], "policy": ["tls"]}), "policy tls: copied: the lab sends the volume"),
        (("qemu", [], {"storage": ["copied", "copied"]}), "storage holds the same value twice"),
        (("qemu", [CUT], {}), 'disturbance cut: the phase storage-copy needs a volume that is copied'),
        (("qemu", [CUT], {"storage": ["shared", "copied"]}), "the phase storage-copy needs a volume that is copied"),
        (("qemu", [FULL], {}), "no-space of the destination needs a volume that is copied"),
        (("libvirt", [FULL], {}), "no-space of the destination needs a volume that is copied"),
        (("qemu", [AWAY], {"storage": ["copied"]}), "a volume that is copied is not on the storage link"),
        (("qemu", [TWICE], {"storage": ["copied"]}), "QEMU migrates nothing yet in the phase storage-copy"),
    ],
)  # fmt: skip
def test_what_does_not_go_with_it_is_refused(made: tuple[str, list[Any], dict[str, Any]], words: str) -> None:
    lab, tables, axes = made
    with pytest.raises(ValidationError, match=words):
        plan(lab, *tables, **axes)
