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
from migrascope.model.observed import host_of, port_of
from migrascope.model.plan import FOREIGN_ECHO_RATE, Plan
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
    seen = await watched(name, url, port, rate, boot_url)
    observed = seen.observed | {
        "command": move.command, "prepare": move.prepare, "pause": duration_text(move.pause_s),
        "command_limit": duration_text(move.limit_s), "until_quiet": move.until_quiet,
    }  # fmt: skip
    if move.until_quiet and seen.rate is None:
        raise UsageProblem(f"--until-quiet wants probes, and there are none: {seen.unprobed}")
    visits = seen.visits
    plan = Plan.model_validate(
        {
            "name": "observe",
            "blocks": move.repeat,
            "lab": {"kind": "address"},
            "observed": observed,
            "probes": {"echo_rate": seen.rate} if seen.rate is not None else {},
            "visitors": {"new_rate": visits, "kept_rate": visits, "kept_connections": _CONNECTIONS, "viewers": 0},
            "verdict": {"ledger": 0},
        }
    )
    return plan, seen.words


@dataclass(frozen=True)
class Watched:
    """How a machine of others is watched: what a plan's table [observed] says of it. rate: probes a second, None where
    none can be sent, and why (unprobed). visits: of each kind a second. words: what will be sent, in a sentence."""

    observed: dict[str, Any]
    rate: float | None
    unprobed: str
    visits: float
    words: str


async def watched(
    name: str, url: str, port: int | None, rate: float | None, boot_url: str, visits: float | None = None
) -> Watched:
    """Finds out. port: of TCP, instead of ICMP; rate, visits: None for what manners allow. Problem where the machine
    cannot be observed."""
    if boot_url:
        await need_boot_id(boot_url)
    target, why = await _target(name, url, port, rate)
    address = target.address if target is not None else await resolved(name)
    own = default_rate(address) == OWN_RATE
    if visits is None:
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
        "clock_rate": segments, "boot_url": boot_url,
    }  # fmt: skip
    words = _words(target, why, url, visits)
    if keeps:
        words += f"; keeps a TCP connection to port {clock}, {segments:g} keep-alive segments a second, for its clock"
    if boot_url:
        words += f"; asks {boot_url} for its boot id once a second"
    return Watched(observed, target.rate if target is not None else None, why, visits, words)


async def with_their_domain(plan: Plan) -> tuple[Plan, str]:
    """A plan for hosts of others with how the domain's address is watched, and in a sentence what will be sent; as it
    is, without a word, where it says that already. What the plan asks for is sent, and where it asks for nothing what
    manners allow."""
    url, given, (new, kept) = plan.libvirt.url, plan.observed, plan.visitors.rates
    if given.address:
        return plan, ""
    rate = plan.probes.echo_rate if plan.probes.echo_rate != FOREIGN_ECHO_RATE else None
    visits = (new + kept) / 2 if (new, kept) != (OWN_VISITS / 2, OWN_VISITS / 2) else None
    seen = await watched(host_of(url), url, given.port or None, rate, given.boot_url, visits)
    changes: dict[str, Any] = {"observed": given.model_copy(update=seen.observed)}
    if seen.rate is not None:
        changes["probes"] = plan.probes.model_copy(update={"echo_rate": seen.rate})
    if visits is None:
        rates = {"new_rate": seen.visits, "kept_rate": seen.visits}
        changes["visitors"] = plan.visitors.model_copy(update=rates)
    return plan.model_copy(update=changes), seen.words


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
