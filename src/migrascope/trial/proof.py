"""Whether the guest that answers is the one that was moved: three-valued, each with its evidence."""

from migrascope.lab.contract import Check, Instance, check, panic_in
from migrascope.node.until import Late, until
from migrascope.trial.guestcall import GuestCall

Proof = dict[str, Check]
_BEAT = "migrascope alive "
_BEAT_LIMIT_S = 5.0


async def prove(instance: Instance, guest: GuestCall, boot_id: str, destination: str) -> Proof:
    """The checks of a trial after its migration: place, incarnation, panic, heartbeat, memory."""
    proof = {"place": await instance.place(destination)}
    try:
        alive = await guest.ask("/alive?id=proof")
        same = alive["boot_id"] == boot_id
        words = f"boot id {alive['boot_id']}" + ("" if same else f", before the migration {boot_id}")
        proof["incarnation"] = check("pass" if same else "fail", words)
    except OSError as error:
        proof["incarnation"] = check("unknown", f"the guest's agent did not answer: {error}")
    proof["panic"] = await _panic(instance)
    proof["heartbeat"] = await _heartbeat(instance)
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


async def _heartbeat(instance: Instance) -> Check:
    """Whether the guest goes on saying on its console that it lives."""
    before = await instance.console()
    if before is None:
        return check("unknown", "its console cannot be read here")

    async def beaten() -> bool:
        return _beats(await instance.console() or before) != _beats(before)

    try:
        await until(beaten, _BEAT_LIMIT_S, "a line on the console", 0.1)
    except Late:
        return check("fail", f"silent on its console for {_BEAT_LIMIT_S:g} s")
    return check("pass", "it goes on saying on its console that it lives")


def _beats(console: str) -> list[str]:
    return [line for line in console.splitlines() if line.startswith(_BEAT)]


def failures(proof: Proof, verdict: str) -> list[str]:
    """What has this verdict (fail, unknown), for people."""
    return [f"{name}: {check['evidence']}" for name, check in proof.items() if check["verdict"] == verdict]
