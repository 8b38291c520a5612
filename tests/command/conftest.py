"""What tests of commands share."""

from collections.abc import Iterator
from typing import Any

import pytest
from cloudlab import boot, clock, cloud, fake, quick
from loopback import port, site

from migrascope.model.plan import Plan
from migrascope.study.observation import observed
from migrascope.trial import setup

__all__ = ["boot", "clock", "cloud", "fake", "port", "quick", "site"]


@pytest.fixture(scope="module", autouse=True)
def _nothing_is_under_way() -> Iterator[None]:
    """On loopback no answer is waited for when nothing more is sent."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setup, "T_MAX_S", 0.2)
        yield


@pytest.fixture
def _short_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the command line observes around a move lasts a second before it, and one after."""
    whole = observed.plan_of_move

    async def short(*given: Any) -> tuple[Plan, str]:
        plan, words = await whole(*given)
        return plan.model_copy(update={"windows": plan.windows.model_copy(update={"before": 1.0})}), words

    monkeypatch.setattr(observed, "plan_of_move", short)
