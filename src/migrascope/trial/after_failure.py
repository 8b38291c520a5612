"""How a trial ends: a failure is a result; after a disturbed migration an operator brings the service back, the lab is
healed; the logs are kept."""

import contextlib
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from migrascope.lab.contract import NotConverged
from migrascope.lab.disturbable import Healable, Healing, Rescuable, Rescue
from migrascope.model.problem import Problem, RunStops
from migrascope.store.recording import TrialFacts
from migrascope.store.removal import NotRemoved, remove_tree
from migrascope.trial.agent_client import AgentClient
from migrascope.trial.disturbing import Disturbing
from migrascope.trial.setup import S
from migrascope.trial.steady_state import Overloaded

_STATUSES: dict[type[Exception], str] = {NotConverged: "not-converged", Overloaded: "overloaded"}


async def rescue(
    instance: Rescuable, disturbing: Disturbing, end: Callable[[], Awaitable[None]], guest: AgentClient, *, passes: bool
) -> Rescue:
    """Ends a disturbance, and lets an operator bring the service back; what he did. passes: it may pass by itself."""
    if passes:
        await disturbing.passed()
    with contextlib.suppress(Problem, OSError):  # it is noted, and the operator has to heal what is left
        await end()
    return await instance.rescue(guest.ready)


async def healed(lab: Healable) -> Healing:
    """What the lab's healing did; a lab that stays ill is healed again, or given up, before the next trial."""
    try:
        return await lab.heal()
    except (Problem, OSError) as error:
        return Healing("ill", why=str(error))


async def to_its_end(trial: S, facts: TrialFacts, run: Callable[[S, TrialFacts], Awaitable[TrialFacts]]) -> TrialFacts:
    """Runs a trial from its first event to its last, and keeps its logs. One that fails gives its facts with the
    reason, and no exception but RunStops."""
    trial.events.add("trial_start", number=facts.number)
    try:
        facts = await run(trial, facts)
    except RunStops:
        raise
    except (Problem, OSError) as error:
        facts = failed(facts, error)
    finally:
        keep_logs(trial.folder, trial.opened)
    trial.events.add("trial_end", status=facts.status, reason=facts.reason)
    return facts


def failed(facts: TrialFacts, error: Exception) -> TrialFacts:
    """The facts of a trial that came to no good end, with the reason."""
    status = next((status for kind, status in _STATUSES.items() if isinstance(error, kind)), "failed")
    return replace(facts, status=status, reason=str(error) or type(error).__name__)


def keep_logs(folder: Path, opened: Path) -> None:
    """What QEMU, the guest's console and the programs wrote goes with the trial."""
    logs = opened / "logs"
    logs.mkdir(exist_ok=True)
    for pattern in ("*.log", "*.serial"):
        for path in folder.glob(pattern):
            if path.stat().st_size:
                shutil.copy(path, logs / path.name)
    with contextlib.suppress(NotRemoved):  # the lab's own folder goes at its end, with what is left of this one
        remove_tree(folder, folder.parent)
