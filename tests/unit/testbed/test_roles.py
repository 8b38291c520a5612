"""The testbed's roles as data: what is done where, and that no secret lies open."""

import configparser
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from migrascope.model.family import FIRST
from migrascope.model.network import FloatingIps
from migrascope.model.problem import UsageProblem
from migrascope.node.register import Register
from migrascope.testbed.roles import (
    all_tasks,
    cloud,
    common,
    console,
    horizon,
    hypervisor,
    neutron,
    nova,
    privsep,
    switch,
)
from migrascope.testbed.secrets import Secrets
from migrascope.testbed.settings import BARE, COMPUTE, CONTROLLER, NODES, Migration, Settings, address, address_6
from migrascope.testbed.task import Await, Command, File, Task, Units
from migrascope.testbed.testbed import Testbed
from migrascope.testbed.topology import Topology

SECRETS = Secrets(bytes(32))
TASKS = all_tasks(Settings(), SECRETS)
_SECRET = re.compile(r"\b[0-9a-f]{32}\b|AQAAAAAAAAAAA")


def _started(task: Task) -> list[str]:
    return [unit for action in task.actions if isinstance(action, Units) for unit in action.start]


def _files(tasks: list[Task]) -> list[File]:
    return [action for task in tasks for action in task.actions if isinstance(action, File)]


ON_OVN = Settings(network="ovn", tenant="geneve")
ON_EACH_NODE = replace(ON_OVN, floating_ips="distributed")
OVN = all_tasks(ON_OVN, SECRETS)
DISTRIBUTED = all_tasks(ON_EACH_NODE, SECRETS)
EACH = pytest.mark.parametrize("every", [TASKS, OVN, DISTRIBUTED], ids=["agents", "ovn", "distributed"])


@EACH
def test_tasks_need_only_tasks_that_there_are(every: list[Task]) -> None:
    names = [task.name for task in every]
    assert len(set(names)) == len(names)
    assert {need for task in every for need in task.needs} <= set(names)


@EACH
def test_no_secret_is_on_a_command_line(every: list[Task]) -> None:
    for task in every:
        for action in task.actions:
            if isinstance(action, Command | Await):
                assert not _SECRET.search(" ".join(action.argv)), task.name


@EACH
def test_files_with_secrets_are_not_for_everybody(every: list[Task]) -> None:
    open_ones = [file.path for file in _files(every) if _SECRET.search(file.text) and file.mode & 0o007]
    assert not open_ones


@EACH
def test_a_file_is_the_same_from_whichever_task(every: list[Task]) -> None:
    seen: dict[tuple[str, str], File] = {}
    for task in every:
        for file in _files([task]):
            assert seen.setdefault((task.node, file.path), file) == file


@pytest.mark.parametrize("node", [CONTROLLER, COMPUTE])
def test_only_the_controller_reaches_the_database(node: str) -> None:
    assert ("mysql" in nova.configuration(Settings(), SECRETS, node).text) == (node == CONTROLLER)


def test_migration_settings_are_in_one_file() -> None:
    migration = Migration(downtime_ms=300, permit_post_copy=True)
    text = hypervisor.configuration(Settings(migration=migration), SECRETS, COMPUTE).text
    assert "live_migration_downtime = 300\n" in text
    assert "live_migration_permit_post_copy = true\n" in text
    changed = {
        file.path for file in _files(all_tasks(Settings(migration=migration), SECRETS)) if file not in _files(TASKS)
    }
    assert changed == {"/etc/nova/nova-compute.conf"}


def test_tunnels_end_on_the_tenants_link_and_are_not_there_with_vlans() -> None:
    def agent(settings: Settings) -> str:
        files = _files([task for task in all_tasks(settings, SECRETS) if task.node == COMPUTE])
        return next(file.text for file in files if file.path.endswith("openvswitch_agent.ini"))

    assert "bridge_mappings = tenant:br-tenant\n" in agent(Settings())
    assert "tunnel_types = \n" in agent(Settings())
    assert f"local_ip = {address(COMPUTE, 'tenant')}\n" in agent(Settings(tenant="vxlan"))
    assert "tunnel_types = vxlan\n" in agent(Settings(tenant="vxlan"))

    def given(settings: Settings, node: str) -> list[bool]:
        """Whether a node's switch is given its address when it starts, and when it has its bridges."""
        end = f"/usr/sbin/ip address replace {address(node, 'tenant')}/24 dev br-tenant\n"
        task = next(task for task in all_tasks(settings, SECRETS) if task.name == switch.name(node))
        starts = next(
            file.text for file in _files([task]) if file.path.endswith("ovs-vswitchd.service.d/migrascope.conf")
        )
        told = [action.stdin for action in task.actions if isinstance(action, Command) and action.stdin]
        return [f"ExecStartPost=-{end}" in starts, end in told[-1]]

    for node in (CONTROLLER, COMPUTE):
        assert given(Settings(tenant="vxlan"), node) == [True, True], "with its process its bridge is gone"
        assert given(Settings(), node) == [False, False]


def _told(every: list[Task], node: str) -> tuple[str, ...]:
    """The command by which ovn-controller is configured on a node."""
    return next(
        action.argv for task in every if task.node == node for action in task.actions
        if isinstance(action, Command) and "external_ids:system-id" in " ".join(action.argv)
    )  # fmt: skip


def test_ovn_has_no_agents_of_open_vswitch_and_knows_each_node_as_nova_does() -> None:
    started = {(task.node, unit) for task in OVN for unit in _started(task)}
    assert not [unit for _, unit in started if "openvswitch-agent" in unit or "l3-agent" in unit or "dhcp" in unit]
    for node in (CONTROLLER, COMPUTE):
        assert {(node, "ovn-controller.service"), (node, "neutron-ovn-metadata-agent.service")} <= started
        told = _told(OVN, node)
        assert f'external_ids:hostname="{node}"' in told
        assert f'external_ids:ovn-encap-ip="{address(node, "tenant")}"' in told
        assert ('external_ids:ovn-cms-options="enable-chassis-as-gw"' in told) == (node == CONTROLLER)


def _ml2(every: list[Task]) -> configparser.ConfigParser:
    return _options("/etc/neutron/plugins/ml2/ml2_conf.ini", every=every)


def _switched(every: list[Task], node: str) -> str:
    """What a shell of a node is given to make its Open vSwitch."""
    task = next(task for task in every if task.name == switch.name(node))
    return "".join(action.stdin for action in task.actions if isinstance(action, Command))


def test_distributed_floating_ips_are_on_each_node_and_the_gateway_stays_on_the_controller() -> None:
    assert not _ml2(OVN).getboolean("ovn", "enable_distributed_floating_ip")
    assert _ml2(DISTRIBUTED).getboolean("ovn", "enable_distributed_floating_ip")
    mapped = 'external_ids:ovn-bridge-mappings="external:br-external"'
    for every, nodes in ((OVN, [CONTROLLER]), (DISTRIBUTED, [CONTROLLER, COMPUTE])):
        assert [node for node in NODES if mapped in _told(every, node)] == nodes
        assert [node for node in NODES if "add-port br-external external" in _switched(every, node)] == nodes
        gateways = [node for node in NODES if "enable-chassis-as-gw" in " ".join(_told(every, node))]
        assert gateways == [CONTROLLER]


def test_a_node_that_has_floating_ips_is_on_the_external_link_without_an_address(tmp_path: Path) -> None:
    assert COMPUTE not in Settings().joined["external"]
    assert ON_OVN.joined == Settings().joined
    for link, nodes in ON_EACH_NODE.joined.items():
        assert set(nodes) - set(Settings().joined[link]) == ({COMPUTE} if link == "external" else set())
    assert ("external", COMPUTE) in BARE
    topology = Topology(Register(tmp_path / "ms-x"), ON_EACH_NODE.joined)
    assert COMPUTE in topology.links["external"].ports


@pytest.mark.parametrize("floating", ["centralized", "distributed"])
def test_a_testbed_has_the_links_that_it_was_made_with(tmp_path: Path, floating: FloatingIps) -> None:
    folder = tmp_path / "ms-x"
    folder.mkdir()
    settings = replace(ON_OVN, name="x", floating_ips=floating)
    (folder / "settings.json").write_text(json.dumps(settings.to_json()))
    ports = Testbed("x", tmp_path).topology.links["external"].ports
    assert (COMPUTE in ports) == (floating == "distributed")
    (folder / "settings.json").write_text("{")
    assert COMPUTE not in Testbed("x", tmp_path).topology.links["external"].ports


def test_a_testbed_that_was_made_by_an_older_version_is_as_that_made_it() -> None:
    said = Settings().to_json()
    assert Settings.from_json(said) == Settings()
    assert Settings.from_json(ON_EACH_NODE.to_json()) == ON_EACH_NODE
    del said["families"], said["floating_ips"]
    found = Settings.from_json(said)
    assert (found.families, found.floating_ips) == ((FIRST,), "centralized")


def test_where_the_kernel_has_no_ipv6_the_cloud_has_none() -> None:
    without = all_tasks(Settings(families=(FIRST,)), SECRETS)

    def made(every: list[Task]) -> dict[str, Any]:
        (action,) = next(task.actions for task in every if task.name == cloud.NETWORKS)
        assert isinstance(action, Command)
        return dict(json.loads(action.stdin))

    def starts(every: list[Task]) -> bool:
        return any("migrascope-ipv6.service" in _started(task) for task in every)

    assert made(without)["ipv6"] is None
    assert made(TASKS)["ipv6"]["router"] == address_6("router")
    assert (starts(without), starts(TASKS), starts(OVN)) == (False, True, False)


def test_new_interfaces_have_ipv6_before_the_router_s_agent_looks() -> None:
    units = [action.start for task in TASKS for action in task.actions if isinstance(action, Units)]
    agents = next(start for start in units if "neutron-l3-agent.service" in start)
    assert units.index(("migrascope-ipv6.service",)) < units.index(agents)


def test_networks_that_there_are_not_are_refused() -> None:
    with pytest.raises(UsageProblem, match="vxlan are not there with ovn: geneve, vlan"):
        Settings(network="ovn", tenant="vxlan")
    with pytest.raises(UsageProblem, match="active at-once are OVN's"):
        Settings(activation="at-once")
    with pytest.raises(UsageProblem, match="floating IPs that are distributed are OVN's: --network ovn"):
        Settings(floating_ips="distributed")
    with pytest.raises(UsageProblem, match="distributed are not there with tenants' networks by vlan: geneve"):
        Settings(network="ovn", tenant="vlan", floating_ips="distributed")


def test_ini() -> None:
    assert common.ini({"a": {"x": True, "y": 3}, "b": {}}) == "[a]\nx = true\ny = 3\n\n[b]\n"


def _options(path: str, node: str = CONTROLLER, every: list[Task] = TASKS) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    files = _files([task for task in every if task.node == node])
    parser.read_string(next(file.text for file in files if file.path == path))
    return parser


def test_a_log_in_is_cheap() -> None:
    assert _options("/etc/keystone/keystone.conf").getint("identity", "password_hash_rounds") == 4


@pytest.mark.parametrize("node", [CONTROLLER, COMPUTE])
def test_nova_compute_leaves_trials_alone(node: str) -> None:
    assert _options("/etc/nova/nova.conf", node).getint("DEFAULT", "update_resources_interval") >= 600


def test_an_api_is_waited_for_by_one_process() -> None:
    assert {"--retry", "--retry-connrefused"} <= set(common.answers(8774))


def test_the_manager_loads_no_module_that_is_not_used() -> None:
    manager = next(task for task in TASKS if task.name == "ceph manager")
    removed = next(action.argv for action in manager.actions if isinstance(action, Command) and action.argv[0] == "rm")
    assert "/usr/share/ceph/mgr/prometheus" in removed
    # Always on, or what those import.
    for kept in ("balancer", "iostat", "orchestrator", "rbd_support", "volumes", "mgr_util.py"):
        assert f"/usr/share/ceph/mgr/{kept}" not in removed
    order = [type(action) for action in manager.actions]
    assert order.index(Command) < order.index(Units)


@pytest.mark.parametrize("node", [CONTROLLER, COMPUTE])
def test_agents_and_nova_compute_use_helpers_that_are_there_before_them(node: str) -> None:
    for user in privsep.SECTIONS:
        options = _options(f"/etc/{user}/{user}.conf", node)
        for section in privsep.SECTIONS[user]:
            assert "migrascope-privsep" in options[section]["helper_command"]
    by_name = {task.name: task for task in TASKS}
    for name in (neutron.backend(node), hypervisor.compute(node)):
        assert privsep.name(node) in by_name[name].needs


def test_nova_compute_waits_for_a_conductor_that_serves_and_for_nothing_that_can_come_later() -> None:
    by_name = {task.name: task for task in TASKS}

    def before(name: str) -> set[str]:
        needs = by_name[name].needs
        return set(needs).union(*map(before, needs))

    assert Units(start=("nova-conductor.service",)) in by_name[nova.CONDUCTOR].actions
    for node in (CONTROLLER, COMPUTE):
        assert nova.CONDUCTOR in before(hypervisor.compute(node))
        assert not {nova.NOVA, console.CONSOLE, horizon.HORIZON} & before(hypervisor.compute(node))
        assert hypervisor.compute(node) in before(horizon.HORIZON) & before(console.CONSOLE)


@EACH
def test_what_tells_of_its_room_starts_after_the_scheduler_that_hears_it(every: list[Task]) -> None:
    volumes = next(task for task in every if "cinder-volume.service" in _started(task))
    scheduler = next(task for task in every if "cinder-scheduler.service" in _started(task))
    assert scheduler.name in volumes.needs
    assert [type(action) for action in volumes.actions] == [Await, Units]
    assert volumes.name in next(task for task in every if task.name == cloud.READY).needs
