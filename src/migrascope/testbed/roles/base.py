"""What every node has before its services: the units that must never start on it are masked."""

from migrascope.testbed.settings import COMPUTE, CONTROLLER
from migrascope.testbed.task import Task, Units

# Debian's units of nova-compute and of the agents want these, which belong to the controller.
_NOT_ON_COMPUTE = ("epmd.service", "epmd.socket", "keystone.service", "mariadb.service", "rabbitmq-server.service")


def name(node: str) -> str:
    """The name of a node's first task."""
    return f"base {node}"


def tasks() -> list[Task]:
    return [
        Task(name(CONTROLLER), CONTROLLER, (), ()),
        Task(name(COMPUTE), COMPUTE, (), (Units(mask=_NOT_ON_COMPUTE),)),
    ]


CONTROLLER_BASE = name(CONTROLLER)
