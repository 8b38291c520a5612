"""Neutron by ML2: its API on the controller, for its agents of Open vSwitch (agents.py) or for OVN (ovn.py).

What is on the nodes is brought up by tasks of one name, whichever it is: `backend`.
"""

from migrascope.testbed.roles import privsep
from migrascope.testbed.roles.common import (
    CONTROL,
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
from migrascope.testbed.settings import CONTROLLER, Settings
from migrascope.testbed.task import Action, Await, Command, File, Task, Units

NEUTRON, OVN_CENTRAL, _SCHEMA = "neutron", "ovn databases", "neutron schema"
NORTHBOUND, SOUTHBOUND = f"tcp:{CONTROL}:6641", f"tcp:{CONTROL}:6642"
"""OVN's databases."""
_ML2 = "/etc/neutron/plugins/ml2/ml2_conf.ini"
_RANGES: dict[str, dict[str, object]] = {
    "vlan": {"network_vlan_ranges": "tenant:100:199"},
    "vxlan": {"vni_ranges": "100:199"},
    "geneve": {"vni_ranges": "100:199", "max_header_size": 38},
}
# The API and what takes reports of agents are two processes. An agent whose first report nobody takes waits 30 s for it
# and reports again up to 30 s later.
_REPORTS_TAKEN = "rabbitmqctl --quiet list_queues name consumers | grep -q '^q-reports-plugin[[:space:]]*[1-9]'"
# OVN's events come to a thread of the API's.
_THREADS = "sed -i 's/^enable-threads = .*/enable-threads = true/' /etc/neutron/neutron-api-uwsgi.ini"
_MAINTENANCE = "neutron-ovn-maintenance-worker.service"
_MAINTENANCE_UNIT = f"""[Unit]
Description=Keeps Neutron's and OVN's databases alike
[Service]
User=neutron
ExecStart=/usr/bin/neutron-ovn-maintenance-worker --config-file /etc/neutron/neutron.conf --config-file {_ML2}
Restart=on-failure
"""


def backend(node: str) -> str:
    """The name of the task that brings up what wires ports on a node."""
    return f"neutron agents {node}"


def tasks(settings: Settings, secrets: Secrets) -> list[Task]:
    upgrade = as_user(
        "neutron", "neutron-db-manage", "--config-file", "/etc/neutron/neutron.conf", "--config-file", _ML2,
        "upgrade", "heads", timeout_s=300,
    )  # fmt: skip
    start = _ovn_start() if settings.network == "ovn" else _agents_start()
    needs = (OVN_CENTRAL,) if settings.network == "ovn" else ()
    return [
        tables(_SCHEMA, *_server_files(settings, secrets), upgrade),
        Task(NEUTRON, CONTROLLER, (_SCHEMA, QUEUE, *needs), start),
    ]


def _agents_start() -> tuple[Action, ...]:
    return (
        Units(start=("neutron-api.service", "neutron-rpc-server.service", "neutron-periodic-workers.service")),
        Await(answers(9696), 90, "Neutron answers"),
        Await(("sh", "-c", _REPORTS_TAKEN), 90, "Neutron takes its agents' reports", every_s=1),
    )


def _ovn_start() -> tuple[Action, ...]:
    return (
        Command(("sh", "-c", _THREADS)),
        File(f"/etc/systemd/system/{_MAINTENANCE}", _MAINTENANCE_UNIT),
        Units(start=("neutron-api.service", "neutron-periodic-workers.service", _MAINTENANCE)),
        Await(answers(9696), 90, "Neutron answers"),
    )


def _server_files(settings: Settings, secrets: Secrets) -> list[Action]:
    ml2: dict[str, dict[str, object]] = {
        "ml2": {
            "type_drivers": f"flat,{settings.tenant}",
            "tenant_network_types": settings.tenant,
            "mechanism_drivers": "ovn" if settings.network == "ovn" else "openvswitch",
            "extension_drivers": "port_security",
        },
        "ml2_type_flat": {"flat_networks": "external"},
        f"ml2_type_{settings.tenant}": _RANGES[settings.tenant],
    }
    if settings.network == "ovn":
        ml2["ovn"] = {
            "ovn_nb_connection": NORTHBOUND,
            "ovn_sb_connection": SOUTHBOUND,
            "ovn_metadata_enabled": True,
            "enable_distributed_floating_ip": settings.distributed,
            "live_migration_activation_strategy": "rarp" if settings.activation == "rarp" else "",
            # In user space OVN would compare segments that nobody has cut up yet (TSO) with the MTU and drop them: each
            # answer of more than a segment would come by a retransmission, 200 ms later.
            "ovn_emit_need_to_frag": settings.datapath != "netdev",
        }
    return [configuration(settings, secrets, CONTROLLER), File(_ML2, ini(ml2))]


def configuration(settings: Settings, secrets: Secrets, node: str) -> File:
    """/etc/neutron/neutron.conf of a node."""
    sections: dict[str, dict[str, object]] = {
        "DEFAULT": {
            "use_stderr": True,
            "host": node,
            "core_plugin": "ml2",
            "service_plugins": "ovn-router" if settings.network == "ovn" else "router",
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


def metadata(secrets: Secrets) -> dict[str, object]:
    """How a metadata agent reaches Nova's."""
    return {
        "nova_metadata_host": CONTROL,
        "metadata_proxy_shared_secret": secrets.password(METADATA_PURPOSE),
        "metadata_workers": 1,
    }
