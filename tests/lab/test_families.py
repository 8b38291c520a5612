"""IPv6 beside IPv4 in the QEMU lab: a dual-stack migration as both families saw it, and links without it otherwise."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.machine import only_trial
from migrascope.lab.qemu.topology import INSTANCE_ADDRESS, INSTANCE_ADDRESS_6, Topology
from migrascope.metrics.trial import Measurement, examine
from migrascope.model.family import FIRST, SECOND, Family
from migrascope.model.schedule import HOSTS
from migrascope.node.namespace import Namespace
from migrascope.node.register import Register
from migrascope.node.takedown import Cleaned, remove
from migrascope.store.recording import Recording

pytestmark = pytest.mark.lab
FAMILIES: tuple[Family, ...] = (FIRST, SECOND)
ROUTED = {("fabric", "tenant"), ("fabric", "external"), ("client", "external"), ("origin", "external")}
PLAN = """
name = "families"
blocks = 1
families = ["ipv4", "ipv6"]
[lab]
stream_family = "ipv6"
[axes]
scenario = ["offline"]
[windows]
before = "3s"
[probes]
dirty = false
echo_rate = 100
stamp_rate = 20
[visitors]
new_rate = 2
kept_rate = 2
viewers = 1
[capture]
enabled = true
"""


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return only_trial(tmp_path_factory.mktemp("families"), PLAN)


@pytest.fixture(scope="module")
def seen(recording: Recording) -> Measurement:
    return examine(recording)


def value(seen: Measurement, key: str) -> float:
    found = seen.metrics[key]
    assert found.value is not None, (key, found.reason)
    return found.value


def test_both_families_were_silent_over_the_same_pause(seen: Measurement) -> None:
    for key in ("network_blackout_s", "network_blackout_ipv6_s"):
        assert value(seen, key) + (seen.metrics[key].bound or 0.0) > value(seen, "vm_pause_s"), key
    apart = value(seen, "network_blackout_ipv6_s") - value(seen, "network_blackout_s")
    assert value(seen, "network_blackout_ipv6_difference_s") == pytest.approx(apart)
    assert seen.metrics["network_blackout_ipv6_difference_s"].bound


def test_echoes_visits_and_flows_went_over_both(recording: Recording, seen: Measurement) -> None:
    for family in FAMILIES:
        view = recording.over(family)
        for table in ("echo_reply", "visit", "tcp_info", "segment", "arrival"):
            assert view.table(table).height, (family, table)
        assert set(view.table("visit").filter(view.table("visit")["error"] == "")["kind"]) == {"new", "kept"}
    assert set(recording.table("liveness")["source"]) == {"liveness", "liveness-ipv6"}
    for key in ("probe.loss_ratio.before", "probe.loss_ipv6_ratio.before"):
        assert value(seen, key) < 0.02
    assert value(seen, "probe.rtt_ipv6_s.before.p50") < 0.1


def test_a_viewer_watched_over_each(seen: Measurement) -> None:
    for key in ("player_stall_s", "player_stall_ipv6_s"):
        assert value(seen, key) >= 0
        assert not seen.metrics[key].at_least


def test_stamp_told_the_ways_apart_over_both(recording: Recording, seen: Measurement) -> None:
    for family, infix in ((FIRST, ""), (SECOND, "_ipv6")):
        assert set(recording.over(family).table("stamp_reply")["ttl"]) == {63}, "one router between"
        for way in ("out", "back"):
            assert value(seen, f"probe.loss_{way}{infix}_ratio.before") < 0.05
            assert value(seen, f"probe.owd_{way}{infix}_s.before.p50") < 0.1


def test_the_capture_holds_both(seen: Measurement) -> None:
    for key in ("sniffer.delay_s.received.before", "sniffer.delay_ipv6_s.received.before"):
        assert value(seen, key) > 0


def test_the_hypervisor_announces_by_rarp_and_the_guest_by_advertisements(
    recording: Recording, seen: Measurement
) -> None:
    assert value(seen, "announced.frames.rarp") >= 1
    assert value(seen, "announced.frames.na") >= 1
    assert 0 <= value(seen, "announced.rarp_s") < value(seen, "announced.na_s")
    kinds = set(recording.table("announce")["kind"])
    assert {"rarp", "garp", "na", "mld"} <= kinds
    assert "frame" not in kinds
    assert value(seen, "announced.frames.mld") >= 1
    assert (value(seen, "announced.frames.dad"), value(seen, "announced.frames.ra")) == (0, 0)


def test_the_router_s_entry_of_the_guest_was_right_all_the_time_over_both(
    recording: Recording, seen: Measurement
) -> None:
    """A guest keeps its MAC: what announces it changes nothing that was right."""
    rows = recording.table("neighbour_state")
    assert set(rows.select("place", "address").rows()) == {("router", INSTANCE_ADDRESS), ("router", INSTANCE_ADDRESS_6)}
    assert rows["mac"].n_unique() == 1
    assert seen.windows.request is not None
    assert min(rows["read_ns"]) < seen.windows.request
    for key in ("", "_ipv6"):
        assert value(seen, f"router_neighbour.right{key}") == 1
        assert value(seen, f"router_neighbour.wrong{key}_s") == 0
    assert seen.metrics["client_neighbour.right"].value is None, "it is behind the router"


def test_memory_goes_over_ipv6_where_the_plan_says_so(seen: Measurement) -> None:
    """The link's payload, of segments with 86 bytes of headers, is what QEMU says that it sent."""
    assert value(seen, "data_transferred_bytes") == pytest.approx(value(seen, "reported_transferred_bytes"), rel=0.01)


@contextmanager
def topology(families: Sequence[Family], stream: Family = FIRST) -> Iterator[Topology]:
    """The lab's links, without a host that runs anything."""
    register = Register.create()
    try:
        made = Topology(register, families, stream)
        made.create()
        yield made
    finally:
        remove(register, Cleaned())


def with_ipv6(made: Topology) -> set[tuple[str, str]]:
    """(node, interface) of those on which IPv6 is on."""

    def on() -> set[str]:
        names = Path("/proc/sys/net/ipv6/conf").iterdir()
        return {path.name for path in names if (path / "disable_ipv6").read_text().strip() == "0"}

    spaces: dict[str, Namespace] = {"fabric": made.fabric, **made.nodes}
    return {(node, name) for node, space in spaces.items() for name in space.call(on)}


def test_without_ipv6_in_the_plan_no_link_has_it() -> None:
    with topology((FIRST,)) as made:
        assert with_ipv6(made) == set()


def test_a_stream_over_ipv6_has_it_on_the_hosts_migration_link_alone() -> None:
    with topology((FIRST,), SECOND) as made:
        assert with_ipv6(made) == {(host, "migration") for host in HOSTS}
        assert made.stream_address("host-b").startswith("fd")


def test_with_it_only_the_links_of_instance_and_visitors_have_it() -> None:
    with topology(FAMILIES) as made:
        assert with_ipv6(made) == ROUTED
        gateway = INSTANCE_ADDRESS_6.replace("::100", "::1")
        route = made.nodes["client"].configure(lambda routes: routes.route("get", dst=gateway, family=10))
        assert route
