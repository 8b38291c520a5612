"""A guest that is up, as tests get it."""

from dataclasses import dataclass

from migrascope.lab.qemu.lab import QemuInstance, QemuLab
from migrascope.trial.agent_client import AgentClient


@dataclass(frozen=True)
class Booted:
    """A guest on host-a whose website answers."""

    lab: QemuLab
    instance: QemuInstance
    call: AgentClient
