"""Whether the guest that answers is the one that was moved: three-valued, each with its evidence."""

from migrascope.lab.qemu.instance import Instance
from migrascope.lab.qemu.monitor import MonitorError
from migrascope.trial.guestcall import GuestCall

Proof = dict[str, dict[str, str]]


def _verdict(verdict: str, evidence: str) -> dict[str, str]:
    return {"verdict": verdict, "evidence": evidence}


async def prove(instance: Instance, guest: GuestCall, boot_id: str, destination: str) -> Proof:
    """The checks of a trial after its migration: place, incarnation, panic, memory."""
    proof = {"place": await _place(instance, destination)}
    try:
        alive = await guest.ask("/alive?id=proof")
        same = alive["boot_id"] == boot_id
        words = f"boot id {alive['boot_id']}" + ("" if same else f", before the migration {boot_id}")
        proof["incarnation"] = _verdict("pass" if same else "fail", words)
    except OSError as error:
        proof["incarnation"] = _verdict("unknown", f"the guest's agent did not answer: {error}")
    panic = instance.panic()
    proof["panic"] = _verdict("fail" if panic else "pass", panic or "no kernel panic on the serial console")
    try:
        witness = await guest.ask("/witness")
        words = f"{witness['bad']} of {witness['pages']} pages bad, {witness['rewritten']} rewritten"
        proof["memory"] = _verdict("pass" if witness["whole"] else "fail", words)
    except OSError as error:
        proof["memory"] = _verdict("unknown", f"the memory witness did not answer: {error}")
    return proof


async def _place(instance: Instance, destination: str) -> dict[str, str]:
    try:
        states = {host: (await instance.state(host))["status"] for host in instance.monitors}
    except MonitorError as error:
        return _verdict("unknown", str(error))
    words = ", ".join(f"{host}: {status}" for host, status in states.items())
    here = [host for host, status in states.items() if status == "running"] == [destination]
    return _verdict("pass" if here else "fail", words)


def failures(proof: Proof) -> list[str]:
    """What is not proved, for people; empty when all passed."""
    return [f"{name}: {check['evidence']}" for name, check in proof.items() if check["verdict"] != "pass"]
