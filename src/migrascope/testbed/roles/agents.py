"""Neutron's agents: that of Open vSwitch on each node; router (L3 agent), DHCP and metadata on the controller."""

from migrascope.model.family import SECOND
from migrascope.testbed.roles import neutron, privsep, switch
from migrascope.testbed.roles.common import Sections, config, ini
from migrascope.testbed.secrets import Secrets
from migrascope.testbed.settings import CONTROLLER, NODES, Settings, address
from migrascope.testbed.task import Action, File, Task, Units

# The router's agent takes a node for one without IPv6 where new interfaces have none, and would not forward it. They
# have it, and no address unless somebody gives them one, so that instances' taps and bridges say nothing unasked.
_IPV6 = "migrascope-ipv6.service"
_IPV6_UNIT = """[Unit]
Description=IPv6 of interfaces that are still to come
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=sysctl -w net.ipv6.conf.default.addr_gen_mode=1 net.ipv6.conf.default.disable_ipv6=0
"""


def tasks(settings: Settings, secrets: Secrets) -> list[Task]:
    return [_agents(settings, secrets, node) for node in NODES]


def _agents(settings: Settings, secrets: Secrets, node: str) -> Task:
    agent: Sections = {
        "ovs": {
            "bridge_mappings": switch.mappings(settings, node),
            "datapath_type": settings.datapath,
            "ovsdb_connection": switch.OVSDB,
            "local_ip": address(node, "tenant" if settings.tunnels else "management"),
        },
        "agent": {"tunnel_types": settings.tenant if settings.tunnels else ""},
        "securitygroup": {"firewall_driver": "openvswitch", "enable_security_group": True},
    }
    actions: list[Action] = []
    units = ["neutron-openvswitch-agent.service"]
    if node != CONTROLLER:
        actions.append(neutron.configuration(settings, secrets, node))
    actions.append(File("/etc/neutron/plugins/ml2/openvswitch_agent.ini", ini(agent)))
    if node == CONTROLLER:
        interface: dict[str, object] = {"interface_driver": "openvswitch", "ovs_use_veth": False}
        actions += [
            File("/etc/neutron/l3_agent.ini", ini({"DEFAULT": interface})),
            File("/etc/neutron/dhcp_agent.ini", ini({"DEFAULT": interface})),
            config("/etc/neutron/metadata_agent.ini", "neutron", {"DEFAULT": neutron.metadata(secrets)}),
        ]
        if SECOND in settings.families:
            actions += [File(f"/etc/systemd/system/{_IPV6}", _IPV6_UNIT), Units(start=(_IPV6,))]
        units += ["neutron-l3-agent.service", "neutron-dhcp-agent.service", "neutron-metadata-agent.service"]
    actions.append(Units(start=tuple(units)))
    needs = (switch.name(node), privsep.name(node), neutron.NEUTRON)
    return Task(neutron.backend(node), node, needs, tuple(actions))
