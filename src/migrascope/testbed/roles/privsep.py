"""The privileged helpers of Neutron's agents and of nova-compute, forked from one process that has loaded their code.

Each agent starts a helper for each set of capabilities, as root, when it first needs it: by sudo, rootwrap and Python,
which takes two seconds of processor time each, ten times while a testbed comes up and again in its first migration.
Here `migrascope-privsep` takes the place of `privsep-helper`: it asks the service of that name, which forks. The helper
itself is oslo.privsep's own and drops its capabilities as ever.
"""

from migrascope.testbed.roles import base
from migrascope.testbed.roles.common import Sections, ini
from migrascope.testbed.settings import NODES
from migrascope.testbed.task import File, Task, Units

# The sections of the configuration by which the users' contexts are set up (cfg_section of each PrivContext).
SECTIONS = {
    "neutron": (
        "privsep",
        "privsep_conntrack",
        "privsep_dhcp_release",
        "privsep_link",
        "privsep_namespace",
        "privsep_ovs_vsctl",
    ),
    "nova": ("nova_sys_admin", "privsep_osbrick", "vif_plug_ovs_privileged"),
}
CLIENT, SERVER = "/usr/local/sbin/migrascope-privsep", "/usr/local/sbin/migrascope-privsep-server"
SOCKET = "/run/migrascope-privsep.sock"
_UNIT = "migrascope-privsep"


def name(node: str) -> str:
    """The name of the task that makes helpers available on a node."""
    return f"privsep {node}"


def sections(user: str) -> dict[str, dict[str, object]]:
    """The sections of a service's configuration that make it use them."""
    command = f"sudo {CLIENT} --config-file /etc/{user}/{user}.conf"
    return {section: {"helper_command": command} for section in SECTIONS[user]}


def tasks() -> list[Task]:
    allowed = "".join(f"{user} ALL = (root) NOPASSWD: {CLIENT} *\n" for user in SECTIONS)
    socket = {"Unit": {"Description": "Privileged helpers"}, "Socket": {"ListenStream": SOCKET, "SocketMode": "0600"}}
    service: Sections = {
        "Unit": {"Description": "Privileged helpers of Neutron and Nova", "Requires": f"{_UNIT}.socket"},
        # The helpers that it has forked are their agents', and end with them alone.
        "Service": {"ExecStart": SERVER, "KillMode": "process", "Restart": "on-failure", "LimitNOFILE": 65535},
    }
    actions = (
        File(CLIENT, _ASK, 0o755),
        File(SERVER, _SERVE, 0o755),
        File(f"/etc/sudoers.d/{_UNIT}", allowed, 0o440),
        File(f"/etc/systemd/system/{_UNIT}.socket", ini(socket).replace(" = ", "=")),
        File(f"/etc/systemd/system/{_UNIT}.service", ini(service).replace(" = ", "=")),
        Units(start=(f"{_UNIT}.socket", f"{_UNIT}.service")),
    )
    return [Task(name(node), node, (base.name(node),), actions) for node in NODES]


# Without site and its hundreds of packages: it starts in 10 ms.
_ASK = f"""#!/usr/bin/python3 -IS
import socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect("{SOCKET}")
    server.sendall("\\0".join(sys.argv[1:]).encode())
    server.shutdown(socket.SHUT_WR)
    answer = server.makefile().read()
sys.exit(answer or None)
"""

# helper_main forks: the daemon goes on serving its agent, its parent returns.
_SERVE = """#!/usr/bin/python3
import gc, os, socket, sys, traceback
import neutron.privileged.agent.linux.dhcp, neutron.privileged.agent.linux.ip_lib
import neutron.privileged.agent.linux.netlink_lib, neutron.privileged.agent.linux.utils
import nova.privsep.linux_net, nova.privsep.path, os_brick.privileged.rootwrap, vif_plug_ovs.linux_net
from oslo_privsep.daemon import helper_main

def helper(connection, words):
    own, problem = os.getpid(), ""
    sys.argv = ["privsep-helper", *words]
    try:
        helper_main()
    except SystemExit as end:
        problem = "" if end.code in (None, 0) else str(end.code)
    except BaseException:
        problem = traceback.format_exc()
    if os.getpid() == own:
        connection.sendall(problem.encode())
    os._exit(bool(problem))

gc.freeze()
with socket.socket(fileno=3) as listening:
    while True:
        connection, _ = listening.accept()
        with connection:
            words = connection.makefile().read().split("\\0")
            child = os.fork()
            if not child:
                listening.close()
                helper(connection, words)
            os.waitpid(child, 0)
            # The daemon has a copy of this connection, which would never end otherwise.
            connection.shutdown(socket.SHUT_RDWR)
"""
