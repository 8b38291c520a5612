"""An Open vSwitch on each node, and its bridges to the links that Neutron has to itself.

br-int (OpenFlow by Neutron's agent or by OVN: security groups, the tenants' networks)
     |                                                    |
br-tenant --[tenant]-- fabric --[tenant]-- br-tenant     br-external --[external]-- fabric -- client, origin

br-external is on the controller, and on the compute node where floating IPs are distributed.
With tunnels, the node's end of them is br-tenant itself, and no patch leads there.
"""

from migrascope.testbed.roles import base
from migrascope.testbed.settings import NODES, Settings, address
from migrascope.testbed.task import Action, Command, File, Task, Units

OVSDB = "tcp:127.0.0.1:6640"
# Without ovs-ctl, which loads a kernel module, and unloads this machine's bridges, where it does not find one.
_VSWITCHD = """[Service]
ExecStart=
ExecStart=/usr/sbin/ovs-vswitchd unix:/run/openvswitch/db.sock -vconsole:emer -vsyslog:err -vfile:info \\
  --no-chdir --log-file=/var/log/openvswitch/ovs-vswitchd.log --pidfile=/run/openvswitch/ovs-vswitchd.pid --detach
ExecReload=
"""

# The kernel's connection tracking lets a connection be that it has not seen from its beginning, as an instance's are on
# the host to which it comes; that in user space calls packets of such connections invalid by their sequence numbers,
# and OVN drops what is invalid: each connection that was open at the switchover hung, and new ones did for 10 s. The
# flows of Neutron's agents do not meet it.
_NUMBERS = "/usr/bin/ovs-appctl dpctl/ct-disable-tcp-seq-chk"


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


def name(node: str) -> str:
    """The name of the task that brings a node's Open vSwitch up."""
    return f"open vswitch {node}"


def bridges(settings: Settings, node: str) -> tuple[str, ...]:
    """The physical networks that instances reach from a node by a bridge."""
    return tuple(link for link in _links(settings, node) if link != "tenant" or not settings.tunnels)


def mappings(settings: Settings, node: str) -> str:
    """Physical networks and their bridges, as Neutron's agent and OVN write them."""
    return ",".join(f"{link}:br-{link}" for link in bridges(settings, node))


def tasks(settings: Settings) -> list[Task]:
    return [_switch(settings, node) for node in NODES]


def _links(settings: Settings, node: str) -> tuple[str, ...]:
    """The links that Neutron has to itself on a node; each is the only port of a bridge of its own."""
    return tuple(link for link in ("tenant", "external") if node in settings.joined[link])


def _switch(settings: Settings, node: str) -> Task:
    set_up = "set -e\n"
    for link in _links(settings, node):
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
    in_user_space = settings.datapath == "netdev"
    afterwards = [_NUMBERS] if in_user_space and settings.network == "ovn" else []
    afterwards += _tunnel_end(node) if settings.tunnels else []
    # Before it has bridges it can be told nothing; the last command tells it as soon as it has.
    vswitchd = _VSWITCHD + "".join(f"ExecStartPost=-{command}\n" for command in afterwards)
    taps: tuple[Action, ...] = (
        File("/usr/local/sbin/migrascope-taps", _TAPS, 0o755),
        File("/etc/systemd/system/migrascope-taps.service", _TAPS_UNIT),
        Units(start=("migrascope-taps.service",)),
    )
    return Task(
        name(node),
        node,
        (base.name(node),),
        (
            *(taps if in_user_space else ()),
            File("/etc/systemd/system/ovs-vswitchd.service.d/migrascope.conf", vswitchd),
            Units(start=("ovsdb-server.service",)),
            Command(("sh",), stdin=before),
            Units(start=("ovs-vswitchd.service", "openvswitch-switch.service")),
            Command(("sh",), stdin=set_up + "".join(f"{command}\n" for command in afterwards)),
        ),
    )


def _tunnel_end(node: str) -> list[str]:
    """Commands that give a node its address on the tenants' link, at the bridge: the user-space switch looks for no
    other way out. With that switch's process the bridge's device is gone, and the address with it."""
    return [
        f"/usr/sbin/ip address replace {address(node, 'tenant')}/24 dev br-tenant",
        "/usr/sbin/ip link set dev br-tenant up",
    ]
