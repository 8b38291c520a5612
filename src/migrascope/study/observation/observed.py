"""What `observe ... -- COMMAND` runs: a plan for the machine at an address and the command that moves it."""

import shutil
from dataclasses import dataclass
from typing import Any

from migrascope.model.observation import (
    BOOT_RATE,
    FOREIGN_SEGMENTS,
    FOREIGN_VISITS,
    OWN_RATE,
    OWN_SEGMENTS,
    OWN_VISITS,
    Target,
)
from migrascope.model.observed import port_of
from migrascope.model.plan import Plan
from migrascope.model.problem import Problem, UsageProblem
from migrascope.model.units import duration_text
from migrascope.probe.paced import PROHIBITED
from migrascope.probe.peer_clock import refusal
from migrascope.study.observation.page import need_boot_id
from migrascope.study.observation.way import clock_port, default_rate, left_rate, resolved, target_of

_CONNECTIONS = 2
_WAYS = {"icmp-raw": "icmp", "icmp-ping": "icmp", "tcp": "tcp"}


@dataclass(frozen=True)
class Move:
    """What is run. command: the program and its arguments; prepare: a line for the shell, empty for none; repeat: how
    often; pause_s: between two; limit_s: the longest; until_quiet: it returns before the machine has moved."""

    command: list[str]
    repeat: int
    pause_s: float
    prepare: str
    limit_s: float
    until_quiet: bool


async def plan_of_move(
    name: str, url: str, port: int | None, rate: float | None, move: Move, boot_url: str = ""
) -> tuple[Plan, str]:
    """The plan, and in a sentence what will be sent. Problem where the machine cannot be observed, UsageProblem where
    there is no such program."""
    if shutil.which(move.command[0]) is None:
        raise UsageProblem(f"there is no program {move.command[0]!r} to run, here or on the PATH")
    if boot_url:
        await need_boot_id(boot_url)
    target, why = await _target(name, url, port, rate)
    address = target.address if target is not None else await resolved(name)
    own = default_rate(address) == OWN_RATE
    visits = (OWN_VISITS if own else FOREIGN_VISITS) / 2 if url else 0.0
    port_known = (target.port if target is not None else 0) or (port_of(url) if url else 0)
    clock = await clock_port(address, port_known) if refusal(address) is None else port_known
    segments = OWN_SEGMENTS if own else FOREIGN_SEGMENTS
    keeps = bool(clock) and refusal(address) is None
    if target is not None and rate is None:
        beside = 2 * visits + segments * keeps + BOOT_RATE * bool(boot_url)
        target = target.model_copy(update={"rate": left_rate(address, beside)})
    observed: dict[str, Any] = {
        "name": name, "address": address, "way": _WAYS[target.way] if target is not None else "none",
        "port": target.port if target is not None else 0, "url": url, "clock_port": clock,
        "clock_rate": segments, "command": move.command, "prepare": move.prepare,
        "pause": duration_text(move.pause_s), "command_limit": duration_text(move.limit_s),
        "until_quiet": move.until_quiet, "boot_url": boot_url,
    }  # fmt: skip
    if move.until_quiet and target is None:
        raise UsageProblem(f"--until-quiet wants probes, and there are none: {why}")
    plan = Plan.model_validate(
        {
            "name": "observe",
            "blocks": move.repeat,
            "lab": {"kind": "address"},
            "observed": observed,
            "probes": {"echo_rate": target.rate} if target is not None else {},
            "visitors": {"new_rate": visits, "kept_rate": visits, "kept_connections": _CONNECTIONS, "viewers": 0},
            "verdict": {"ledger": 0},
        }
    )
    words = _words(target, why, url, visits)
    if keeps:
        words += f"; keeps a TCP connection to port {clock}, {segments:g} keep-alive segments a second, for its clock"
    if boot_url:
        words += f"; asks {boot_url} for its boot id once a second"
    return plan, words


async def _target(name: str, url: str, port: int | None, rate: float | None) -> tuple[Target | None, str]:
    """How the address is probed; None, and why, where only visits can show it."""
    try:
        target = await target_of(name, port, rate)
        if target.prohibited:
            raise Problem(
                f"{target.label}: asks to be left alone ({PROHIBITED})\n  next: later, or --port with one that is open"
            )
        return target, ""
    except UsageProblem:
        raise
    except Problem as error:
        if not url or port is not None:
            raise
        return None, str(error).splitlines()[0]


def _words(target: Target | None, why: str, url: str, visits: float) -> str:
    parts = []
    if target is not None:
        what = f"TCP handshakes a second with port {target.port}" if target.port else "ICMP echo requests a second"
        parts.append(f"{target.rate:g} {what}")
    if url:
        parts.append(f"{2 * visits:g} visits a second of {url}, half of them on new connections")
    without = f"; no probes: {why}" if target is None else ""
    return f"sends, while a trial lasts, {' and '.join(parts)}{without}"
