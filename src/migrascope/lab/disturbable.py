"""What a lab gives to trials that are disturbed: the source's events as they come, and injectors."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from migrascope.lab.contract import Instance
from migrascope.model.disturbance import Disturbance
from migrascope.model.kinds.kind import Injector

See = Callable[[str, dict[str, Any], int], None]
"""Is told an event of the source's hypervisor: its name, its data, when it happened (monotonic ns)."""


@dataclass(frozen=True)
class Rescue:
    """What an operator did after a failure. found: where the instance was before; operator: his steps, in words;
    answers_s: after how long the service answered, None where it never did. ended_ns: when he had done (monotonic),
    where a lab says so."""

    found: str
    operator: list[str]
    answers_s: float | None
    ended_ns: int | None = None


@dataclass(frozen=True)
class Healing:
    """What became of a lab that a disturbance had left ill. did: what was done, in words; why: why it was rebuilt, or
    is still ill."""

    lab: Literal["healed", "rebuilt", "ill"]
    did: list[str] = field(default_factory=list)
    why: str = ""


@runtime_checkable
class Disturbable(Instance, Protocol):
    """An instance whose migration can be disturbed."""

    def listen(self, see: See) -> None:
        """Tells every event of the source's hypervisor from now on."""

    def injector(self, disturbance: Disturbance, destination: str) -> Injector:
        """What brings it about. Not for kinds that are steered through the guest."""


@runtime_checkable
class Rescuable(Disturbable, Protocol):
    """An instance that an operator can help after a failure."""

    async def rescue(self, answers: Callable[[], Awaitable[bool]]) -> Rescue:
        """Does what an operator would until the service answers. answers: asks the service."""


@runtime_checkable
class Healable(Protocol):
    """A lab that a disturbance may leave ill."""

    async def heal(self) -> Healing:
        """Heals or rebuilds it. CloudError or another Problem when even that did not help."""
