"""Stress in the guest as a disturbance, through its agent."""

from migrascope.model.disturbance import Disturbance
from migrascope.model.problem import Problem
from migrascope.node.until import until
from migrascope.trial.guestcall import SLOW_S, GuestCall

_READY_S = 60.0


def options(disturbance: Disturbance, swallows: str) -> dict[str, str]:
    """What guest/stress.py is told. swallows: where network load goes."""
    one = disturbance
    told = {"kind": one.kind.removeprefix("guest-")}
    if one.write_rate is not None:
        told["rate"] = f"{one.write_rate:.0f}"
    if one.rate is not None:
        told |= {"rate": f"{one.rate / 8:.0f}", "to": swallows}
    if one.working_set is not None:
        told["set"] = str(one.working_set)
    if one.workers is not None:
        told["workers"] = str(one.workers)
    if one.kind == "guest-memory":
        told["pattern"] = one.pattern or "random"
    if one.sync:
        told["sync"] = "1"
    return told


class GuestStress:
    """Workers in the guest. It has begun when each of them works."""

    def __init__(self, guest: GuestCall, disturbance: Disturbance, swallows: str) -> None:
        self._guest, self._options, self._applied = guest, options(disturbance, swallows), False

    async def arm(self) -> None:
        return

    async def apply(self) -> str:
        words = "&".join(f"{key}={value}" for key, value in self._options.items())
        self._applied = True
        await self._guest.ask(f"/stress?{words}", post=True, timeout_s=SLOW_S)

        async def works() -> bool:
            workers = (await self._guest.ask("/stress", timeout_s=SLOW_S))["workers"]
            if failed := [worker["reason"] for worker in workers if worker["state"] == "failed"]:
                raise Problem(f"load in the guest failed: {failed[0]}")
            return all(worker["state"] == "running" for worker in workers)

        await until(works, _READY_S, "load in the guest begins", 0.1)
        return ""

    async def heal(self) -> None:
        """OSError where the guest no longer answers; its workers go with it."""
        if self._applied:
            self._applied = False
            await self._guest.ask("/stop?what=stress", post=True)
