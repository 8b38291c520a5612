"""Whether the guest that answers is the one that was moved: three-valued, each with its evidence."""

from migrascope.lab.contract import Check, Instance, check, panic_in
from migrascope.trial.guestcall import GuestCall

Proof = dict[str, Check]


async def prove(instance: Instance, guest: GuestCall, boot_id: str, destination: str) -> Proof:
    """The checks of a trial after its migration: place, incarnation, panic, memory."""
    proof = {"place": await instance.place(destination)}
    try:
        alive = await guest.ask("/alive?id=proof")
        same = alive["boot_id"] == boot_id
        words = f"boot id {alive['boot_id']}" + ("" if same else f", before the migration {boot_id}")
        proof["incarnation"] = check("pass" if same else "fail", words)
    except OSError as error:
        proof["incarnation"] = check("unknown", f"the guest's agent did not answer: {error}")
    proof["panic"] = await _panic(instance)
    try:
        witness = await guest.ask("/witness")
        words = f"{witness['bad']} of {witness['pages']} pages bad, {witness['rewritten']} rewritten"
        proof["memory"] = check("pass" if witness["whole"] else "fail", words)
    except OSError as error:
        proof["memory"] = check("unknown", f"the memory witness did not answer: {error}")
    return proof


async def _panic(instance: Instance) -> Check:
    console = await instance.console()
    if console is None:
        return check("unknown", "its console cannot be read here")
    line = panic_in(console)
    return check("fail" if line else "pass", line or "no kernel panic on the serial console")


def failures(proof: Proof, verdict: str) -> list[str]:
    """What has this verdict (fail, unknown), for people."""
    return [f"{name}: {check['evidence']}" for name, check in proof.items() if check["verdict"] == verdict]
