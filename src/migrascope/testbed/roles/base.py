"""What every node has before its services: folders that they share, and no unit that must never start on it."""

from migrascope.testbed.settings import COMPUTE, CONTROLLER, NODES
from migrascope.testbed.task import Action, Command, File, Task, Units

# Debian's units of nova-compute and of the agents want these, which belong to the controller.
_NOT_ON_COMPUTE = ("epmd.service", "epmd.socket", "keystone.service", "mariadb.service", "rabbitmq-server.service")
# Debian's units of one project share folders in /run, and each removes them when it stops, and when it fails to make
# them because another makes them at that moment.
_PROJECTS = ("cinder", "glance", "neutron", "nova")
_FOLDERS = "".join(f"d /run/{at}{name} 0755 {name} {name} -\n" for name in _PROJECTS for at in ("", "lock/"))
_PRESERVE = "[Service]\nRuntimeDirectoryPreserve=yes\n"


def name(node: str) -> str:
    """The name of a node's first task."""
    return f"base {node}"


def tasks() -> list[Task]:
    found = []
    for node in NODES:
        actions: list[Action] = [
            File("/etc/tmpfiles.d/migrascope.conf", _FOLDERS),
            *(File(f"/etc/systemd/system/{each}-.service.d/migrascope.conf", _PRESERVE) for each in _PROJECTS),
            Command(("systemd-tmpfiles", "--create", "/etc/tmpfiles.d/migrascope.conf")),
            Command(("systemctl", "daemon-reload")),
        ]
        if node == COMPUTE:
            actions.append(Units(mask=_NOT_ON_COMPUTE))
        found.append(Task(name(node), node, (), tuple(actions)))
    return found


CONTROLLER_BASE = name(CONTROLLER)
