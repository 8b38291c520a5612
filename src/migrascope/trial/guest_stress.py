"""Stress in the guest as a disturbance, through its agent."""

from migrascope.model.problem import Problem
from migrascope.node.wait import wait_until
from migrascope.trial.agent_client import SLOW_S, AgentClient

_READY_S = 60.0


class GuestStress:
    """Workers in the guest. It has begun when each of them works. told: what guest/stress.py is told."""

    def __init__(self, guest: AgentClient, told: dict[str, str]) -> None:
        self._guest, self._told, self._applied = guest, told, False

    async def arm(self) -> None:
        return

    async def apply(self) -> str:
        words = "&".join(f"{key}={value}" for key, value in self._told.items())
        self._applied = True
        await self._guest.ask(f"/stress?{words}", post=True, timeout_s=SLOW_S)

        async def works() -> bool:
            workers = (await self._guest.ask("/stress", timeout_s=SLOW_S))["workers"]
            if failed := [worker["reason"] for worker in workers if worker["state"] == "failed"]:
                raise Problem(f"load in the guest failed: {failed[0]}")
            return all(worker["state"] == "running" for worker in workers)

        await wait_until(works, _READY_S, "load in the guest begins", 0.1)
        return ""

    async def heal(self) -> None:
        """OSError where the guest no longer answers; its workers go with it."""
        if self._applied:
            self._applied = False
            await self._guest.ask("/stop?what=stress", post=True)
