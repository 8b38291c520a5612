"""Steering: a manager's controller on a migration that runs, and what its lab did of what it decided."""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from migrascope.lab.contract import Instance
from migrascope.model.clock import mono_ns
from migrascope.model.controllers import Abort, Action, Controller, Look, SetLimit, TurnToPostCopy

Acted = Callable[[int, dict[str, Any]], object]
"""Is told when something was done (monotonic ns), and what."""


class Steering:
    """One migration's. limit_s: the downtime limit in force, as far as it was set."""

    def __init__(self, controller: Controller, acted: Acted) -> None:
        self._controller, self._acted = controller, acted
        self._next_s = controller.look_s
        self.limit_s = controller.first_s
        self._look: Look | None = None

    @property
    def look_s(self) -> float:
        """How long it waits for its next look, counted from the one before."""
        return self._controller.look_s

    def is_due(self, elapsed_s: float) -> bool:
        """Whether it is time for a look."""
        return elapsed_s >= self._next_s

    def action(self, look: Look | None) -> Action | None:
        """What is to be done now; None where it is not time for a look, or nothing is to be done. look: None where
        nothing could be seen."""
        if look is None or not self.is_due(look.at_s):
            return None
        self._look = look
        self._controller, action = self._controller.decided(look)
        self._next_s = look.at_s + self._controller.look_s
        return action

    def done(self, action: Action, asked_ns: int, read_s: float | None = None, refused: str = "") -> None:
        """Stamps what the hypervisor did. asked_ns: when it was asked; read_s: the limit as it was read back; refused:
        its words, where it did not do it."""
        assert self._look is not None
        if read_s is not None:
            self.limit_s = read_s
        wanted = {"limit_s": action.limit_s} if isinstance(action, SetLimit) else {}
        read = {"read_s": read_s} if read_s is not None else {}
        why = {"refused": refused} if refused else {}
        self._acted(
            mono_ns(),
            {"action": _NAMES[type(action)], **wanted, **read, **why, "asked_ns": asked_ns, "look": vars(self._look)},
        )


_NAMES: dict[type[Action], str] = {SetLimit: "limit", TurnToPostCopy: "post-copy", Abort: "abort"}


def look_of(answer: dict[str, Any], elapsed_s: float) -> Look | None:
    """A look by an answer of query-migrate, None where that has not counted its memory. elapsed_s: since the
    request."""
    ram = answer.get("ram", {})
    if "remaining" not in ram:
        return None
    rate_Bps = ram.get("mbps", 0.0) * 1e6 / 8
    return Look(elapsed_s, ram["remaining"], ram["transferred"], ram["dirty-sync-count"], rate_Bps or None)


@runtime_checkable
class Steered(Instance, Protocol):
    """An instance whose migration can be changed while it runs."""

    def steer(self, steering: Steering) -> None:
        """The migration to come is looked at, and what is decided then is done."""
