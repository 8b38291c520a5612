"""The reflector of STAMP in the guest."""

from migrascope.model.problem import Problem
from migrascope.model.stamp import PORT
from migrascope.node.until import until
from migrascope.trial.guestcall import GuestCall

_READY_S = 30.0


async def begin(guest: GuestCall) -> None:
    """Starts it, and waits until it takes packets. Problem where it fails or takes too long."""
    await guest.ask(f"/reflector?port={PORT}", post=True)

    async def listens() -> bool:
        (worker,) = (await guest.ask("/reflector"))["workers"]
        if worker["state"] == "failed":
            raise Problem(f"the reflector in the guest failed: {worker['reason']}")
        return bool(worker["state"] == "running")

    await until(listens, _READY_S, "the reflector in the guest takes packets", 0.1)
