"""Whether the guest that answers is the one that was moved: three-valued, each with its evidence."""

import re

from migrascope.lab.contract import Instance, panic_in
from migrascope.model.postcheck import PostCheck
from migrascope.node.wait import WaitTimeout, wait_until
from migrascope.trial.agent_client import AgentClient

Proof = dict[str, PostCheck]
_BEAT = "migrascope alive "
_BEAT_LIMIT_S = 5.0
_WHOLE = re.compile(rf"{_BEAT}[0-9]+ ([0-9a-f-]{{36}})")


async def prove(instance: Instance, guest: AgentClient, boot_id: str, destination: str) -> Proof:
    """The checks of a trial after its migration: place, incarnation, panic, heartbeat, memory."""
    proof = {"place": await instance.place(destination)}
    try:
        alive = await guest.ask("/alive?id=proof")
        same = alive["boot_id"] == boot_id
        words = f"boot id {alive['boot_id']}" + ("" if same else f", before the migration {boot_id}")
        proof["incarnation"] = PostCheck("pass" if same else "fail", words)
    except OSError as error:
        proof["incarnation"] = PostCheck("unknown", f"the guest's agent did not answer: {error}")
    proof["panic"] = await _panic(instance)
    proof["heartbeat"] = await _heartbeat(instance, boot_id)
    try:
        witness = await guest.ask("/witness")
        words = f"{witness['bad']} of {witness['pages']} pages bad, {witness['rewritten']} rewritten"
        proof["memory"] = PostCheck("pass" if witness["whole"] else "fail", words)
    except OSError as error:
        proof["memory"] = PostCheck("unknown", f"the memory witness did not answer: {error}")
    return proof


async def _panic(instance: Instance) -> PostCheck:
    console = await instance.console()
    if console is None:
        return PostCheck("unknown", "its console cannot be read here")
    line = panic_in(console)
    return PostCheck("fail" if line else "pass", line or "no kernel panic on the serial console")


async def _heartbeat(instance: Instance, boot_id: str) -> PostCheck:
    """Whether the guest of that boot goes on saying on its console that it lives."""
    before = await instance.console()
    if before is None:
        return PostCheck("unknown", "its console cannot be read here")

    beats = _beats(before)

    async def beaten() -> bool:
        nonlocal beats
        old, beats = beats, _beats(await instance.console() or before)
        return beats != old

    try:
        await wait_until(beaten, _BEAT_LIMIT_S, "a line on the console", 0.1)
    except WaitTimeout:
        return PostCheck("fail", f"silent on its console for {_BEAT_LIMIT_S:g} s")
    said = _boot_of(beats)
    if said is not None and said != boot_id:
        return PostCheck("fail", f"the console's is another boot, {said}: before the migration it was {boot_id}")
    return PostCheck("pass", "it goes on saying on its console that it lives")


def _beats(console: str) -> list[str]:
    return [line for line in console.splitlines() if line.startswith(_BEAT)]


def _boot_of(beats: list[str]) -> str | None:
    """The boot id of the last whole beat; None where there is none."""
    whole = [match[1] for beat in beats if (match := _WHOLE.fullmatch(beat))]
    return whole[-1] if whole else None


def failures(proof: Proof, verdict: str) -> list[str]:
    """What has this verdict (fail, unknown), for people."""
    return [f"{name}: {check.evidence}" for name, check in proof.items() if check.verdict == verdict]
