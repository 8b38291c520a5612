"""The steady writer of a trial: it dirties the guest's memory at the rate that the plan sets."""

from migrascope.model.problem import Problem
from migrascope.model.schedule import Factors
from migrascope.node.member import Member
from migrascope.node.namespace import Namespace
from migrascope.node.until import until
from migrascope.trial.guestcall import SLOW_S, GuestCall

INTERVAL_S = 0.25
_READY_S = 60.0


async def begin(guest: GuestCall, factors: Factors) -> None:
    """Starts it, and waits until its working set is filled and it writes. Problem where it fails or takes too long."""
    options = f"kind=memory&rate={factors.write_Bps:.0f}&set={factors.write_set_bytes}&pattern={factors.write_pattern}"
    await guest.ask(f"/stress?{options}", post=True, timeout_s=SLOW_S)

    async def writes() -> bool:
        workers = (await guest.ask("/stress", timeout_s=SLOW_S))["workers"]
        if failed := [worker["reason"] for worker in workers if worker["state"] == "failed"]:
            raise Problem(f"the writer in the guest failed: {failed[0]}")
        return all(worker["state"] == "running" for worker in workers)

    await until(writes, _READY_S, "the writer in the guest fills its working set", 0.1)


def watch(client: Namespace | None, address: str) -> Member:
    """What records how far it is."""
    config = {"url": f"http://{address}:8080", "interval_s": INTERVAL_S}
    return Member("stress", "migrascope.probe.stress", "client", client, config)
