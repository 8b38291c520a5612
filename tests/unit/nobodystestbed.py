"""The control of a testbed that nobody has made: nodes and links of which there are names alone."""

from typing import Any, cast

from migrascope.lab.injectors.lab_links import LabLinks
from migrascope.lab.openstack.access import CloudAccess
from migrascope.lab.testbed.control import TestbedControl
from migrascope.lab.testbed.nodes import Nodes
from migrascope.node.link import Link, Port
from migrascope.node.namespace import Namespace


def parts() -> Nodes:
    spaces = {name: Namespace(f"x-{name}") for name in ("one", "two", "client")}
    fabric = Namespace("x-fabric")
    links = {}
    for name in ("migration", "storage", "tenant", "external", "management"):
        ports = {node: Port(name, node, space, f"{node}-{name}") for node, space in spaces.items()}
        links[name] = Link(name, fabric, None, ports)
    nodes = {name: cast(Any, f"node {name}") for name in ("one", "two")}
    return Nodes(LabLinks(fabric, links, spaces), nodes, "two", lambda node, link: f"{node}.{link}")


class Control(TestbedControl):
    """The control of a testbed that nobody has made."""

    def __init__(self) -> None:
        CloudAccess.__init__(self)
        self.nodes = parts()

    async def repair(self) -> list[str]:
        return ["start rabbitmq-server on two"]
