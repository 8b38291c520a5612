"""Address families: names of figures and sources, and what a plan may ask for."""

from pathlib import Path

import pytest

from migrascope.cli.main import app
from migrascope.metrics.catalogue import METRICS
from migrascope.model.family import family_of, host_of, key_of, source_of
from migrascope.study.plans import Options, PlanError, load, parse, text_of

BOTH = 'families = ["ipv4", "ipv6"]\n'


@pytest.mark.parametrize(
    ("key", "second"),
    [
        ("network_blackout_s", "network_blackout_ipv6_s"),
        ("network_outages", "network_outages_ipv6"),
        ("probe.rtt_s.before.p50", "probe.rtt_ipv6_s.before.p50"),
        ("probe.loss_ratio.switchover", "probe.loss_ipv6_ratio.switchover"),
        ("visitor.goodput_bps.after", "visitor.goodput_ipv6_bps.after"),
        ("http_new_failed", "http_new_failed_ipv6"),
    ],
)
def test_the_second_family_is_named_before_the_unit(key: str, second: str) -> None:
    assert key_of(key) == second


def test_no_key_of_a_family_is_another_figure_s() -> None:
    keys = [key for metric in METRICS for key in metric.expanded()]
    assert len(keys) == len(set(keys))


def test_a_source_says_its_family() -> None:
    assert [source_of("echo", family) for family in ("ipv4", "ipv6")] == ["echo", "echo-ipv6"]
    assert [family_of(source) for source in ("echo", "echo-ipv6")] == ["ipv4", "ipv6"]


def test_an_address_in_a_url() -> None:
    assert [host_of(address) for address in ("192.0.2.1", "fd00::1")] == ["192.0.2.1", "[fd00::1]"]


def test_a_plan_without_families_is_of_ipv4() -> None:
    assert load("website").families == ["ipv4"]


@pytest.mark.parametrize("lab", ["qemu", "libvirt", "openstack", "fake"])
def test_a_dual_stack_plan_is_kept_as_it_is(lab: str) -> None:
    plan = parse(f'{BOTH}[lab]\nkind = "{lab}"\n', "mine")
    assert plan.families == ["ipv4", "ipv6"]
    assert parse(text_of(plan), "again") == plan


@pytest.mark.parametrize("families", ['["ipv6"]', '["ipv6", "ipv4"]', '["ipv4", "ipv4"]'])
def test_ipv4_comes_first(families: str) -> None:
    with pytest.raises(PlanError, match='families: \\["ipv4"\\], or \\["ipv4", "ipv6"\\]'):
        parse(f"families = {families}", "mine")


def test_no_family_and_an_unknown_one_are_named() -> None:
    with pytest.raises(PlanError, match="families"):
        parse("families = []", "mine")
    with pytest.raises(PlanError, match=r"'ipv5' is not known; did you mean 'ipv[46]'\? valid: ipv4, ipv6"):
        parse('families = ["ipv4", "ipv5"]', "mine")


def test_a_lab_without_ipv6_says_so_beforehand(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(BOTH)
    with pytest.raises(PlanError, match="the lab address is measured over ipv4 alone, with ipv6 are: qemu, libvirt, "):
        load(str(file), Options(lab="address"))


def test_a_fleet_is_of_ipv4() -> None:
    with pytest.raises(PlanError, match="families: several instances are probed over ipv4 alone"):
        parse(f'{BOTH}[lab]\nkind = "openstack"\n[axes]\nscenario = ["none"]\n[fleet]\ncount = [2]\n', "mine")


def test_plan_says_what_both_families_cost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(f'{BOTH}[lab]\nkind = "fake"\n')
    app(["plan", str(file)], result_action="return_value")
    assert "probed and visited over ipv4 and ipv6, each at the plan's rates" in capsys.readouterr().out
