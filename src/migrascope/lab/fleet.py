"""What a fleet is to a trial: instances that are made, migrated and looked at together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from migrascope.node.process_spec import ProcessSpec

ENDED = ("completed", "failed", "error", "cancelled")


@dataclass(frozen=True)
class State:
    """What one look shows of an instance. host: its name, or an opaque id where we are told no names. record: the state
    of its newest migration, empty where there is none or we may not see it."""

    status: str
    task: str
    host: str
    record: str
    fault: str = ""

    def settled(self, before: "State") -> bool:
        """Whether a migration that was asked for when it was `before` is over."""
        if self.status == "ERROR":
            return True
        ended = self.record in ENDED if self.record else self.host != before.host
        return self.status == "ACTIVE" and not self.task and ended


@dataclass(frozen=True)
class Look:
    """The states of all instances by name, between two stamps (mono ns). requests: how many it took."""

    asked_ns: int
    answered_ns: int
    states: Mapping[str, State]
    requests: int


class Fleet(Protocol):
    """The instances of one trial that all run on the source. addresses: by name, those of their websites. settings: of
    their migrations, as far as they are known."""

    addresses: Mapping[str, str]
    settings: dict[str, Any]

    async def look(self) -> Look:
        """Asks for all at once, no faster than the plan allows."""

    async def migrate(self, name: str, destination: str) -> None:
        """Asks for one migration. Problem with the words of whoever refuses it."""

    async def cancel(self, name: str) -> None:
        """Gives a migration up that is stuck."""

    def links(self) -> list[ProcessSpec]:
        """What counts the bytes on the links, where that can be."""

    async def destroy(self) -> None:
        """Removes everything of it."""
