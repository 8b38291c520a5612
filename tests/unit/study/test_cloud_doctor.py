"""What a cloud allows is said beforehand, and nothing of what was tried stays."""

import json
import os
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
from commandline import migrascope
from fakecloud import FakeCloud, Fault
from publickeys import PUBLIC

from migrascope.lab.openstack import ipv6
from migrascope.metrics.catalogue import Need
from migrascope.model.axes import Axes
from migrascope.model.plan import CapturePlan, Plan
from migrascope.node.machine import TAG
from migrascope.study.doctor import cloud, metric_availability
from migrascope.study.doctor.metric_availability import WHY, availability

OURS = f"{TAG}-aaaaaaaaaaaa"
OF_HYPERVISORS = {
    *(
        "migration_time_s",
        "vm_pause_s",
        "reported_total_s",
        "reported_downtime_s",
        "reported_transferred_bytes",
        "rounds",
    ),
    *("dirty_rate_Bps", "data_transferred_bytes", "migration_time_s"),
}
Ask = Callable[..., tuple[int, dict[str, Any]]]
_known: dict[tuple[str, frozenset[str]], dict[str, str | None]] = {}


def availability_once(plan: Plan, reach: Collection[Need]) -> dict[str, str | None]:
    """The availability, which is the same for the same plan and reach: a second of work in most of these tests."""
    key = (plan.model_dump_json(), frozenset(reach))
    if key not in _known:
        _known[key] = availability(plan, reach)
    return _known[key]


@pytest.fixture
def fake() -> Iterator[FakeCloud]:
    with FakeCloud() as cloud:
        yield cloud


@pytest.fixture
def ask(fake: FakeCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """The exit code and what doctor --json says, its checks by name."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(cloud, "machine_tag", lambda: OURS)
    monkeypatch.setattr(metric_availability, "availability", availability_once)
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(fake.clouds_yaml(tmp_path)))

    def asked(*arguments: str) -> tuple[int, dict[str, Any]]:
        ended = migrascope("doctor", *arguments, "--cloud", "fake", "--json", folder=tmp_path)
        told = json.loads(ended.stdout)
        return ended.code, told | {"checks": {check["name"]: check for check in told["checks"]}}

    return asked


def test_an_administrator_of_two_hosts_can_run_everything(fake: FakeCloud, ask: Ask) -> None:
    before = fake.kinds()
    code, told = ask()
    verdicts = {name: check["verdict"] for name, check in told["checks"].items() if check["verdict"] != "pass"}
    assert (code, told["ready"], told["schema"], verdicts) == (0, True, 1, {"hypervisors": "fail"})
    assert (fake.kinds(), fake.nova.flavors) == (before, {})
    assert told["checks"]["flavor of 1.07 GB"]["found"] == "may be made"
    assert told["checks"]["quota floatingip"]["found"] == "0 of 50 used, 1 wanted"


def test_metrics_that_need_a_hypervisor_are_announced_as_none(ask: Ask) -> None:
    metrics = ask()[1]["metrics"]
    absent = {key for key in PUBLIC if not metrics[key]["there"]}
    assert absent == OF_HYPERVISORS
    assert "cloud.hosts" in metrics["vm_pause_s"]["reason"]
    assert "testbed" in metrics["data_transferred_bytes"]["reason"]
    assert metrics["network_blackout_s"] == {"there": True, "reason": None}


def test_without_an_administrators_rights_it_says_what_will_be_missing(ask: Ask, fake: FakeCloud) -> None:
    fake.roles = ("member",)
    fake.faults.append(Fault("GET /network/v2.0/ports/.*/bindings", 403, "rule:get_port_binding is disallowed"))
    code, told = ask()
    checks = told["checks"]
    assert {name: checks[name]["verdict"] for name in ("rights", "hosts", "migration's progress", "ports' hosts")} == {
        "rights": "unknown", "hosts": "unknown", "migration's progress": "fail", "ports' hosts": "fail",
    }  # fmt: skip
    assert "not shown to us" in told["metrics"]["api_binding_s.active"]["reason"]
    assert "lets us make none" in checks["flavor of 1.07 GB"]["found"]
    assert "Policy doesn't allow" in checks["flavor of 1.07 GB"]["found"]
    assert code == 4
    fake.nova.flavors["f"] = {"id": "f", "name": "small", "ram": 1024, "vcpus": 1, "disk": 0}
    assert ask()[0] == 0


@pytest.mark.parametrize(
    ("quota", "limit", "ready"),
    [("instances", 0, False), ("port", 1, False), ("volumes", -1, True), ("ram", 1023, False)],
)
def test_a_quota_that_is_too_small_is_told(ask: Ask, fake: FakeCloud, quota: str, limit: int, ready: bool) -> None:
    fake.quotas[quota] = limit
    code, told = ask()
    assert (told["checks"][f"quota {quota}"]["verdict"] == "pass", told["ready"], code == 0) == (ready, ready, ready)


def test_a_fleet_wants_more(ask: Ask, tmp_path: Path) -> None:
    plan = tmp_path / "mine.toml"
    plan.write_text('[cloud]\nname = "fake"\n[axes]\nscenario = ["none"]\n[fleet]\ncount = [1, 11]\n')
    code, told = ask(str(plan))
    assert (code, told["checks"]["quota instances"]["found"]) == (4, "0 of 10 used, 11 wanted")
    assert told["checks"]["quota security_group"]["verdict"] == "pass"


def test_one_host_is_not_enough(ask: Ask, fake: FakeCloud) -> None:
    fake.nova.hosts = ("one",)
    code, told = ask()
    assert (code, told["checks"]["hosts"]["found"]) == (4, "1 up: one")


def test_two_networks_have_to_be_told_apart(ask: Ask, fake: FakeCloud, tmp_path: Path) -> None:
    second = fake.add("networks", name="second", **{"router:external": False})["id"]
    fake.add("ports", name="", network_id=second, device_owner="network:router_interface")
    code, told = ask()
    assert code == 4
    assert "more than one network behind a router (inner, second)" in told["checks"]["routed network"]["found"]
    plan = tmp_path / "mine.toml"
    plan.write_text('[cloud]\nname = "fake"\nnetwork = "second"\n[axes]\nscenario = ["none"]\n')
    assert ask(str(plan))[0] == 0


def test_a_network_without_ipv6_or_a_way_to_it_is_told(
    ask: Ask, fake: FakeCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = tmp_path / "mine.toml"
    plan.write_text('families = ["ipv4", "ipv6"]\n[cloud]\nname = "fake"\n[axes]\nscenario = ["none"]\n')
    monkeypatch.setattr(ipv6, "_is_known", lambda address: str(address) == "fd01::1")
    for prefix, verdict, words in (
        ("", "fail", "the network inner has no subnet of IPv6"),
        ("fd00::/64", "fail", "this machine knows no way to the instances' fd00::/64"),
        ("fd01::/64", "pass", "instances are in fd01::/64"),
    ):
        fake.things["subnets"].clear()
        if prefix:
            fake.add_ipv6(prefix)
        code, told = ask(str(plan))
        check, blackout = told["checks"]["IPv6"], told["metrics"]["network_blackout_ipv6_s"]
        assert (check["verdict"], code == 0, blackout["there"]) == (verdict, verdict == "pass", verdict == "pass")
        assert words in check["found"]
    assert told["metrics"]["wiring.spoke_ipv6_s"]["there"] is False
    assert "IPv6" not in ask()[1]["checks"]


def test_a_cloud_that_takes_no_image_says_so(ask: Ask, fake: FakeCloud) -> None:
    fake.faults.append(Fault("POST /image/v2/images", 403, "You are not authorized to complete add_image action."))
    code, told = ask()
    assert code == 4
    assert "add_image" in told["checks"]["image"]["found"]
    assert "cloud.image" in told["checks"]["image"]["remedy"]


def test_left_overs_are_told_and_stay(ask: Ask, fake: FakeCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.add("security_groups", name="ms000001", description=f"{TAG} {OURS} ms000001")
    code, told = ask()
    assert (code, told["checks"]["left-overs"]["found"]) == (0, "security group ms000001")
    assert fake.names("security_groups") == ["ms000001"]


def test_a_host_that_does_not_answer_is_named(ask: Ask, tmp_path: Path) -> None:
    plan = tmp_path / "mine.toml"
    uri = "qemu+unix:///system?socket=/nonexistent"
    plan.write_text(f'[cloud]\nname = "fake"\nhosts = {{ one = "{uri}" }}\n[axes]\nscenario = ["none"]\n')
    code, told = ask(str(plan))
    assert (code, told["checks"]["hypervisor one"]["verdict"]) == (4, "fail")


def test_it_reads_well_without_json(ask: Ask, tmp_path: Path) -> None:
    said = migrascope("doctor", "--cloud", "fake", folder=tmp_path).stdout
    assert re.search("metrics: [0-9]+ of [0-9]+ will be there", said)
    assert "sniffer.*: the plan has no capture" in said
    assert "without all over IPv6: the plan measures IPv4 alone, or the instances' network has no IPv6" in said
    assert said.endswith("a run can be carried out\n")


def test_what_is_in_reach_decides_the_metrics() -> None:
    plan = Plan(axes=Axes(scenario=["none", "online"]), capture=CapturePlan(enabled=True))
    whole = availability(plan, set(WHY))
    absent = {key for key, reason in whole.items() if reason}
    assert {whole[key] for key in absent} <= {
        "the plan has no writer",
        "no connection was kept for its time stamps",
        "no volume was copied: both hosts reach the same",
    }
    assert availability(plan, set(WHY) - {"stamp"})["probe.loss_back_ratio.after"] == WHY["stamp"]
    hosts = availability(plan, set(WHY) - {"links"})
    elsewhere = ("wiring", "announced", "blackout_step", "_neighbour.")
    assert {key for key, reason in hosts.items() if reason and not any(map(key.count, elsewhere))} - absent == {
        "data_transferred_bytes", "memory_data_bytes", "link_payload_bps",
    }  # fmt: skip
    api = availability(plan, {"api"})
    assert (api["api_task_s"], api["api_migration_time_s"]) == (None, WHY["records"])
    assert api["libvirt_downtime_s"] == api["step_s.copy"] == WHY["hypervisors"]
