"""What a lab gives to trials that are disturbed: the source's events as they come, and injectors."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, runtime_checkable

from migrascope.lab.contract import Instance
from migrascope.model.disturbance import Disturbance
from migrascope.model.kinds.kind import Injector

See = Callable[[str, dict[str, Any], int], None]
"""Is told an event of the source's hypervisor: its name, its data, when it happened (monotonic ns)."""


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

    async def rescue(self, answers: Callable[[], Awaitable[bool]]) -> dict[str, Any]:
        """Does what an operator would until the service answers: {"found": where it was before, "operator": what was
        done, "answers_s": after how long it answered, None where it never did}. answers: asks the service."""


@runtime_checkable
class Healable(Protocol):
    """A lab that a disturbance may leave ill."""

    async def heal(self) -> dict[str, Any]:
        """Heals or rebuilds it: {"lab": "healed" or "rebuilt", "did": [what was done], "why": why it was rebuilt}."""
