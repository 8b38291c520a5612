"""OVN: its databases and northd on the controller; ovn-controller and a metadata agent on each node.

Neutron (API) --> northbound DB --> northd --> southbound DB --> ovn-controller of each node --> OpenFlow in br-int

Instances reach one another by Geneve between the nodes, or by VLANs on the tenants' link. OVN itself answers DHCP and
routes. The controller is the only gateway chassis: what has no floating IP goes out there, and IPv6. Floating IPs are
there, too, unless they are distributed: then each node is on the external link and has those of its own instances.
"""

from migrascope.testbed.roles import base, neutron, privsep, switch
from migrascope.testbed.roles.common import CONTROL, Sections, config
from migrascope.testbed.secrets import Secrets
from migrascope.testbed.settings import CONTROLLER, NODES, Settings, address
from migrascope.testbed.task import Await, Command, File, Task, Units

# Debian's log is a file in the node; in the journal it is with what the other services say.
_LOG = '"-vconsole:emer -vsyslog:info -vfile:off"'
_CONTROLLER_OPTIONS = f"OVN_CTL_OPTS='--ovn-controller-log={_LOG}'\n"
# Each database takes connections on the management link as soon as it is made.
_REMOTES = " ".join(
    f"--db-{database}-create-insecure-remote=yes --db-{database}-addr={CONTROL}" for database in ("nb", "sb")
)
_CENTRAL_OPTIONS = f"OVN_CTL_OPTS='{_REMOTES} --ovn-northd-log={_LOG}'\n"
_DATABASES = ("ovn-ovsdb-server-nb.service", "ovn-ovsdb-server-sb.service")


def tasks(settings: Settings, secrets: Secrets) -> list[Task]:
    return [_central(), *(_chassis(settings, secrets, node) for node in NODES)]


def _central() -> Task:
    served = ("sh", "-c", "ovn-nbctl --timeout=3 get-connection && ovn-sbctl --timeout=3 get-connection")
    return Task(
        neutron.OVN_CENTRAL,
        CONTROLLER,
        (base.name(CONTROLLER),),
        (
            File("/etc/default/ovn-central", _CENTRAL_OPTIONS),
            Units(start=_DATABASES),
            Await(served, 60, "OVN's databases answer"),
            Units(start=("ovn-northd.service",)),
        ),
    )


def _chassis(settings: Settings, secrets: Secrets, node: str) -> Task:
    known = {
        "system-id": node,
        "hostname": node,
        "ovn-remote": neutron.SOUTHBOUND,
        "ovn-encap-type": "geneve",
        "ovn-encap-ip": address(node, "tenant" if settings.tunnels else "management"),
        "ovn-bridge-datapath-type": settings.datapath,
    }
    if mappings := switch.mappings(settings, node):
        known["ovn-bridge-mappings"] = mappings
    if node == CONTROLLER:
        known["ovn-cms-options"] = "enable-chassis-as-gw"
    tell = ["ovs-vsctl", "set", "Open_vSwitch", ".", *(f'external_ids:{key}="{value}"' for key, value in known.items())]
    registered = f"ovn-sbctl --timeout=3 --db={neutron.SOUTHBOUND} get Chassis {node} hostname"
    agent: Sections = {
        "DEFAULT": neutron.metadata(secrets),
        "ovs": {"ovsdb_connection": switch.OVSDB},
        "ovn": {"ovn_sb_connection": neutron.SOUTHBOUND},
    }
    own = [] if node == CONTROLLER else [neutron.configuration(settings, secrets, node)]
    return Task(
        neutron.backend(node),
        node,
        (switch.name(node), privsep.name(node), neutron.NEUTRON),
        (
            *own,
            File("/etc/default/ovn-host", _CONTROLLER_OPTIONS),
            # Open vSwitch sets the id from here whenever its database starts, and else draws one: the node would be
            # another chassis, whose tunnels the databases refuse as those of the first.
            File("/etc/openvswitch/system-id.conf", f"{node}\n"),
            Command(tuple(tell)),
            Units(start=("ovn-controller.service",)),
            Await(("sh", "-c", registered), 60, f"{node} is a chassis of OVN"),
            config("/etc/neutron/neutron_ovn_metadata_agent.ini", "neutron", agent),
            Units(start=("neutron-ovn-metadata-agent.service",)),
        ),
    )
