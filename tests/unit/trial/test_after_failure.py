"""After a disturbed migration: what is waited for, and what is not."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
from faketrial import FACTORS

from migrascope.lab.contract import NotConverged
from migrascope.lab.disturbable import Rescuable
from migrascope.model.problem import Problem
from migrascope.store.recording import TrialFacts
from migrascope.trial.after_failure import failed, rescue
from migrascope.trial.agent_client import AgentClient
from migrascope.trial.disturbing import Disturbing
from migrascope.trial.steady_state import NotSteady, Overloaded


class Trial:
    """A disturbance, an instance and its guest, which take down what is done with them."""

    def __init__(self) -> None:
        self.did: list[str] = []

    async def passed(self) -> None:
        self.did.append("waited")

    async def end(self) -> None:
        self.did.append("ended")

    async def rescue(self, answers: Callable[[], Awaitable[bool]]) -> dict[str, Any]:
        self.did.append("rescued")
        return {}


@pytest.mark.parametrize(("passes", "did"), [(True, ["waited", "ended", "rescued"]), (False, ["ended", "rescued"])])
async def test_a_disturbance_may_pass_unless_the_migration_took_too_long(passes: bool, did: list[str]) -> None:
    trial = Trial()
    guest = AgentClient("http://192.0.2.1:8080", None)
    await rescue(cast(Rescuable, trial), cast(Disturbing, trial), trial.end, guest, passes=passes)
    assert trial.did == did


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotConverged("still active after 60 s; cancelled"), "not-converged"),
        (Overloaded("this machine serves 31 visits/s, the plan asks for 100"), "overloaded"),
        (NotSteady("not steady in 30 s: probes: 0 of 1500 probes sent"), "failed"),
        (Problem("else"), "failed"),
    ],
)
def test_a_failure_has_its_name(error: Exception, status: str) -> None:
    facts = TrialFacts(1, 1, FACTORS, "host-a", "host-b", "vm-1", "m-1", "ok", None, {})
    assert (failed(facts, error).status, failed(facts, error).reason) == (status, str(error))
