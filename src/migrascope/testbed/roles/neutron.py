"""Neutron by ML2 and Open vSwitch: its API and agents on the controller, an Open vSwitch and its agent on each node.

  instance                            router (L3 agent), DHCP, metadata
     |                                   |                |
br-int (OpenFlow: security groups, VLANs of the tenants' networks)
     |                                                    |
br-tenant --[tenant]-- fabric --[tenant]-- br-tenant     br-external --[external]-- fabric -- client, origin

With VXLAN, br-tun is between br-int and br-tenant, and the node's end of the tunnels is br-tenant itself.
"""

from migrascope.testbed.roles import base, privsep
from migrascope.testbed.roles.common import (
    CONTROL,
    Sections,
    answers,
    as_user,
    config,
    credentials,
    database,
    ini,
    middleware,
    transport,
)
from migrascope.testbed.roles.infrastructure import QUEUE, tables
from migrascope.testbed.roles.nova import METADATA_PURPOSE
from migrascope.testbed.secrets import Secrets
from migrascope.testbed.settings import CONTROLLER, NODES, Settings, address
from migrascope.testbed.task import Action, Await, Command, File, Task, Units

NEUTRON, _SCHEMA = "neutron", "neutron schema"
_ML2 = "/etc/neutron/plugins/ml2/ml2_conf.ini"
_OVSDB = "tcp:127.0.0.1:6640"
_RANGES = {"vlan": {"network_vlan_ranges": "tenant:100:199"}, "vxlan": {"vni_ranges": "100:199"}}
# The API and what takes reports of agents are two processes. An agent whose first report nobody takes waits 30 s for it
# and reports again up to 30 s later.
_REPORTS_TAKEN = "rabbitmqctl --quiet list_queues name consumers | grep -q '^q-reports-plugin[[:space:]]*[1-9]'"
# Without ovs-ctl, which loads a kernel module, and unloads this machine's bridges, where it does not find one.
_VSWITCHD = """[Service]
ExecStart=
ExecStart=/usr/sbin/ovs-vswitchd unix:/run/openvswitch/db.sock -vconsole:emer -vsyslog:err -vfile:info \\
  --no-chdir --log-file=/var/log/openvswitch/ovs-vswitchd.log --pidfile=/run/openvswitch/ovs-vswitchd.pid --detach
ExecReload=
"""


# libvirt makes an instance's tap and takes it up; meanwhile ovs-vswitchd reads its flags, adds one, writes them back.
# Where that takes the tap down again, the instance would stay without a network.
_TAPS = """#!/bin/sh
ip -o monitor link | while read -r line; do
  flags=${line#*<}
  case "$line ,${flags%%>*}," in
    Deleted* | *,UP,*) ;;
    *": tap"*)
      name=${line#*: }
      ip link set dev "${name%%:*}" up
      ;;
  esac
done
"""
_TAPS_UNIT = """[Unit]
Description=Takes taps up that ovs-vswitchd has taken down
[Service]
ExecStart=/usr/local/sbin/migrascope-taps
Restart=always
"""


def agents(node: str) -> str:
    """The name of the task that brings a node's agents up."""
    return f"neutron agents {node}"


def switch(node: str) -> str:
    """The name of the task that brings a node's Open vSwitch up."""
    return f"open vswitch {node}"


def tasks(settings: Settings, secrets: Secrets) -> list[Task]:
    upgrade = as_user(
        "neutron", "neutron-db-manage", "--config-file", "/etc/neutron/neutron.conf", "--config-file", _ML2,
        "upgrade", "heads", timeout_s=300,
    )  # fmt: skip
    return [
        tables(_SCHEMA, *_server_files(settings, secrets), upgrade),
        Task(
            NEUTRON,
            CONTROLLER,
            (_SCHEMA, QUEUE),
            (
                Units(start=("neutron-api.service", "neutron-rpc-server.service", "neutron-periodic-workers.service")),
                Await(answers(9696), 90, "Neutron answers"),
                Await(("sh", "-c", _REPORTS_TAKEN), 90, "Neutron takes its agents' reports", every_s=1),
            ),
        ),
        *(_switch(settings, node) for node in NODES),
        *(_agents(settings, secrets, node) for node in NODES),
    ]


def _bridges(node: str) -> tuple[str, ...]:
    """The links that Neutron has to itself on a node; each is the only port of a bridge of its own."""
    return ("tenant", "external") if node == CONTROLLER else ("tenant",)


def _server_files(settings: Settings, secrets: Secrets) -> list[Action]:
    ml2: Sections = {
        "ml2": {
            "type_drivers": f"flat,{settings.tenant}",
            "tenant_network_types": settings.tenant,
            "mechanism_drivers": "openvswitch",
            "extension_drivers": "port_security",
        },
        "ml2_type_flat": {"flat_networks": "external"},
        f"ml2_type_{settings.tenant}": _RANGES[settings.tenant],
    }
    return [_common(secrets, CONTROLLER), File(_ML2, ini(ml2))]


def _common(secrets: Secrets, node: str) -> File:
    sections: dict[str, dict[str, object]] = {
        "DEFAULT": {
            "use_stderr": True,
            "host": node,
            "core_plugin": "ml2",
            "service_plugins": "router",
            "auth_strategy": "keystone",
            "transport_url": transport(secrets),
            "state_path": "/var/lib/neutron",
            "api_workers": 1,
            "rpc_workers": 1,
            "rpc_state_report_workers": 0,
            "global_physnet_mtu": 1500,
        },
        "agent": {
            "root_helper": "sudo /usr/bin/neutron-rootwrap /etc/neutron/rootwrap.conf",
        },
        "oslo_concurrency": {"lock_path": "/var/lock/neutron"},
        **privsep.sections("neutron"),
    }
    if node == CONTROLLER:
        sections["database"] = database(secrets, "neutron")
        sections["nova"] = {**credentials(secrets, "nova"), "endpoint_type": "internal"}
        sections["placement"] = {**credentials(secrets, "placement"), "endpoint_type": "internal"}
        sections |= {name: dict(options) for name, options in middleware(secrets, "neutron").items()}
    return config("/etc/neutron/neutron.conf", "neutron", sections)


def _switch(settings: Settings, node: str) -> Task:
    set_up = "set -e\n"
    for link in _bridges(node):
        set_up += (
            f"ovs-vsctl --may-exist add-br br-{link} -- set Bridge br-{link} datapath_type={settings.datapath}"
            f" -- --may-exist add-port br-{link} {link}\n"
        )
    # Before ovs-vswitchd starts: without it guests get TCP segments whose checksums nobody completes, and set later
    # it leaves ports down.
    before = (
        "ovs-vsctl --no-wait set Open_vSwitch . other_config:userspace-tso-enable=true"
        " -- set-manager ptcp:6640:127.0.0.1\n"
    )
    taps: tuple[Action, ...] = (
        File("/usr/local/sbin/migrascope-taps", _TAPS, 0o755),
        File("/etc/systemd/system/migrascope-taps.service", _TAPS_UNIT),
        Units(start=("migrascope-taps.service",)),
    )
    return Task(
        switch(node),
        node,
        (base.name(node),),
        (
            *(taps if settings.datapath == "netdev" else ()),
            File("/etc/systemd/system/ovs-vswitchd.service.d/migrascope.conf", _VSWITCHD),
            Units(start=("ovsdb-server.service",)),
            Command(("sh",), stdin=before),
            Units(start=("ovs-vswitchd.service", "openvswitch-switch.service")),
            Command(("sh",), stdin=set_up),
            *(_tunnel_end(node) if settings.tenant == "vxlan" else ()),
        ),
    )


def _tunnel_end(node: str) -> tuple[Action, ...]:
    """The node's address on the tenants' link, at the bridge: the user-space switch looks for no other way out."""
    unit = (
        "[Unit]\nDescription=The end of the tunnels\n[Service]\nType=oneshot\nRemainAfterExit=yes\n"
        f"ExecStart=ip address replace {address(node, 'tenant')}/24 dev br-tenant\n"
        "ExecStart=ip link set dev br-tenant up\n"
    )
    name = "migrascope-tunnels.service"
    return (File(f"/etc/systemd/system/{name}", unit), Units(start=(name,)))


def _agents(settings: Settings, secrets: Secrets, node: str) -> Task:
    vxlan = settings.tenant == "vxlan"
    mapped = [link for link in _bridges(node) if not (vxlan and link == "tenant")]
    agent: Sections = {
        "ovs": {
            "bridge_mappings": ",".join(f"{link}:br-{link}" for link in mapped),
            "datapath_type": settings.datapath,
            "ovsdb_connection": _OVSDB,
            "local_ip": address(node, "tenant" if vxlan else "management"),
        },
        "agent": {"tunnel_types": "vxlan" if vxlan else ""},
        "securitygroup": {"firewall_driver": "openvswitch", "enable_security_group": True},
    }
    actions: list[Action] = []
    units = ["neutron-openvswitch-agent.service"]
    if node != CONTROLLER:
        actions.append(_common(secrets, node))
    actions.append(File("/etc/neutron/plugins/ml2/openvswitch_agent.ini", ini(agent)))
    if node == CONTROLLER:
        interface: dict[str, object] = {"interface_driver": "openvswitch", "ovs_use_veth": False}
        metadata = {
            "nova_metadata_host": CONTROL,
            "metadata_proxy_shared_secret": secrets.password(METADATA_PURPOSE),
            "metadata_workers": 1,
        }
        actions += [
            File("/etc/neutron/l3_agent.ini", ini({"DEFAULT": interface})),
            File("/etc/neutron/dhcp_agent.ini", ini({"DEFAULT": interface})),
            config("/etc/neutron/metadata_agent.ini", "neutron", {"DEFAULT": metadata}),
        ]
        units += ["neutron-l3-agent.service", "neutron-dhcp-agent.service", "neutron-metadata-agent.service"]
    actions.append(Units(start=tuple(units)))
    return Task(agents(node), node, (switch(node), privsep.name(node), NEUTRON), tuple(actions))
