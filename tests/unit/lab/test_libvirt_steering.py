"""Managers on a migration that libvirt carries out: what they see, what libvirt is called for, what is stamped."""

import asyncio
from typing import Any

import pytest

from migrascope.lab.contract import NotConverged
from migrascope.lab.libvirt.connection import LibvirtError
from migrascope.lab.libvirt.migration import migrate
from migrascope.lab.steering import Steering
from migrascope.model.controllers import Abort, Action, Look, SetLimit, TurnToPostCopy
from migrascope.model.policy import Policy

JOB = {
    "type": 2, "memory_remaining": 8 * 2**20, "memory_processed": 2**27, "memory_iteration": 3, "memory_bps": 10**8,
}  # fmt: skip


class Domain:
    """A domain whose migration goes on for a while when something was done about it. refuses: libvirt's words to every
    change."""

    host = "a"

    def __init__(self, job: dict[str, Any], refuses: str = "", policy: Policy | None = None) -> None:
        self.called: list[tuple[Any, ...]] = []
        self.policy = policy or Policy()
        self._job, self._refuses, self._limit_ms = job, refuses, 100
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def call(self, host: str, name: str, *args: Any, timeout_s: float | None = 20.0) -> Any:
        if name == "jobStats":
            return self._job if host == "a" else {}
        if name == "migrateGetMaxDowntime":
            return self._limit_ms
        self.called.append((name, *args))
        if name == "abortJob":
            self._over.set_exception(LibvirtError(f"{host}: operation aborted"))
            return None
        asyncio.get_running_loop().call_later(0.2, self._over.set_result, None)
        if self._refuses:
            raise LibvirtError(f"{host}: {self._refuses}")
        if name == "migrateSetMaxDowntime":
            self._limit_ms = args[0]
        return None

    async def state(self, host: str) -> str:
        return "running"

    async def ask(self, destination: str) -> None:
        await self._over


class Decides:
    """A controller that decides once, at its first look."""

    first_s, look_s = 0.1, 0.02

    def __init__(self, action: Action) -> None:
        self.action: Action | None = action
        self.looks: list[Look] = []

    def decided(self, look: Look) -> tuple["Decides", Action | None]:
        self.looks.append(look)
        action, self.action = self.action, None
        return self, action


async def steered(domain: Domain, controller: Decides) -> list[dict[str, Any]]:
    """What was stamped of a migration that ended."""
    told: list[dict[str, Any]] = []
    await migrate(domain, "b", 10.0, lambda: None, Steering(controller, lambda _, what: told.append(what)))
    return told


async def test_a_limit_is_set_by_libvirt_and_read_back() -> None:
    controller = Decides(SetLimit(0.25))
    domain = Domain(JOB)
    (told,) = await steered(domain, controller)
    assert domain.called == [("migrateSetMaxDowntime", 250, 0)]
    assert (told["action"], told["limit_s"], told["read_s"]) == ("limit", 0.25, 0.25)
    look = controller.looks[0]
    assert (look.remaining, look.transferred, look.rounds, look.rate_Bps) == (8 * 2**20, 2**27, 3, 1e8)


async def test_a_guest_is_turned_over() -> None:
    domain = Domain(JOB)
    (told,) = await steered(domain, Decides(TurnToPostCopy()))
    assert domain.called == [("migrateStartPostCopy", 0)]
    assert told["action"] == "post-copy"


async def test_one_that_is_given_up_is_aborted_and_did_not_converge() -> None:
    domain, told = Domain(JOB), list[dict[str, Any]]()
    steering = Steering(Decides(Abort()), lambda _, what: told.append(what))
    with pytest.raises(NotConverged, match=r"its manager gave it up after .* s; aborted: a: operation aborted"):
        await migrate(domain, "b", 10.0, lambda: None, steering)
    assert [what["action"] for what in told] == ["abort"]


async def test_what_libvirt_refuses_is_stamped_in_its_words_and_the_migration_goes_on() -> None:
    (told,) = await steered(Domain(JOB, "domain is not being migrated"), Decides(SetLimit(0.25)))
    assert told["refused"] == "domain is not being migrated"
    assert "read_s" not in told


async def test_nobody_looks_any_more_once_the_policy_has_turned_the_guest_over() -> None:
    controller = Decides(SetLimit(0.25))
    domain = Domain(JOB, policy=Policy.model_validate({"post_copy": {"after": "0s"}}))
    assert await steered(domain, controller) == []
    assert domain.called == [("migrateStartPostCopy", 0)]


async def test_nothing_is_decided_before_qemu_has_begun() -> None:
    controller = Decides(SetLimit(0.25))
    domain = Domain({"type": 2})
    steering = Steering(controller, lambda *_: pytest.fail("nothing was to be done"))
    with pytest.raises(NotConverged, match=r"still migrating after 0\.1 s; aborted"):
        await migrate(domain, "b", 0.1, lambda: None, steering)
    assert controller.looks == []
