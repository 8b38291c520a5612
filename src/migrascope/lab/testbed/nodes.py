"""What of a cloud is ours to break: its nodes and its links."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from migrascope.lab.injectors.lab_links import LabLinks
from migrascope.node.container import Container


@dataclass(frozen=True)
class Nodes:
    """wires: the links between the nodes and all that is on them; by_name: those with an init; controller: the node of
    what there is one of. address: of a node on a link."""

    lab_links: LabLinks
    by_name: Mapping[str, Container]
    controller: str
    address: Callable[[str, str], str]
