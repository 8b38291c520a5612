"""The links of a lab and what is on them."""

from collections.abc import Mapping
from dataclasses import dataclass

from migrascope.node.link import Link
from migrascope.node.namespace import Namespace


@dataclass(frozen=True)
class LabLinks:
    """fabric: where the bridges of the links are. nodes: the namespaces of all that is on them, by name."""

    fabric: Namespace
    links: Mapping[str, Link]
    nodes: Mapping[str, Namespace]
