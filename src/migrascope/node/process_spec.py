"""A program that observes a trial or uses its website: what it is, where it runs, what it is told."""

from dataclasses import dataclass
from typing import Any

from migrascope.node.namespace import Namespace


@dataclass(frozen=True)
class ProcessSpec:
    """One program: its module, the role of the host that it stands for, its namespace (None: this machine's own
    network), and its own part of the configuration."""

    source: str
    module: str
    host: str
    namespace: Namespace | None
    config: dict[str, Any]
