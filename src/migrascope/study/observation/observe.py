"""Observes addresses: one prober for all of them, and what its packets show while it runs."""

import asyncio
import contextlib
import ipaddress
import json
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from migrascope.metrics.gaps import Gap
from migrascope.metrics.packets import NS, STEP_NS, Packets, to_mono
from migrascope.metrics.peer_clock import LEAST_SEGMENTS
from migrascope.metrics.signs import Boot, OnLink
from migrascope.metrics.sliding import Outage, Sliding
from migrascope.model.clock import WallClock, clock_pair, mono_s
from migrascope.model.observation import (
    BOOT_RATE,
    BackOff,
    Blackout,
    End,
    Event,
    OwnLateness,
    SeenSign,
    Silent,
    Target,
    local_time,
)  # fmt: skip
from migrascope.model.problem import Problem
from migrascope.node.process import Process, Where, running, tail
from migrascope.store.spool import PartFollower
from migrascope.study.observation.signs import Beside

POLL_S = 0.5
QUIET_S = 10.0
"""--until-quiet ends so long after the last outage."""
_SETTLE_S, _SETTLE_TCP_S, _SETTLE_HTTP_S = 0.5, 1.5, 2.5
"""So long after a moment every reply that came until then is read: spools wait for their flush, and handshakes for
those before them to be given up."""
_SETTLE_BOOT_S = 1 / BOOT_RATE + 1.0
"""Until then the machine was asked for its boot id, and has answered."""
_PART_S = 60.0
_READY_S = 20.0
_DRAIN_S = 0.3
_BATCH_NS = 300_000_000
"""A reply is read at most so long after it came, unless the prober could not run."""
HOST = "client"
_TABLES = ("echo_sent", "echo_reply", "back_off", "peer_clock", "neighbour", "boot")


@dataclass(frozen=True)
class Until:
    """When an observation ends by itself. for_s: after so long; quiet: when outages were seen and QUIET_S have passed
    without one. stop: ends it from outside."""

    for_s: float | None
    quiet: bool
    stop: asyncio.Event


@dataclass
class View:
    """An address as it is now. last: the last blackout; paused_ns: the last span in which it wanted to be left
    alone."""

    target: Target
    window: Sliding
    beside: Beside
    last: Blackout | None = None
    blackouts: int = 0
    blackout_total_s: float = 0.0
    heard: bool = False
    paused_ns: tuple[int, int] = (0, 0)


class _Clocks:
    """Both clocks of this machine, read at every poll, and where they stepped against one another."""

    def __init__(self) -> None:
        self.pairs = [clock_pair()]

    def read(self) -> tuple[int, int] | None:
        """Reads them; the span in which the wall clock stepped, None where it did not."""
        self.pairs = [*self.pairs[-9:], clock_pair()]
        if WallClock(self.pairs[-2:]).worst_step_ns() <= STEP_NS:
            return None
        return self.pairs[-2][0] - _BATCH_NS, self.pairs[-1][0] + _BATCH_NS

    def time(self, mono: int) -> str:
        """Local time of a monotonic stamp."""
        wall = WallClock(self.pairs[-1:])
        return local_time(mono + wall.offset_ns())


class Observation:
    """What a prober records, read while it grows. tell: takes each event when it is known."""

    def __init__(self, targets: Sequence[Target], folder: Path, tell: Callable[[Event], None]) -> None:
        besides: dict[str, Beside] = {}
        for target in sorted(targets, key=lambda target: not target.clock_port):
            # at one address all share what is seen beside the probes
            besides.setdefault(target.address, Beside(target.clock_unseen))
        self.views = [
            View(target, Sliding(target.rate, settle_s(target)), besides[target.address]) for target in targets
        ]
        self._tell, self._clocks = tell, _Clocks()
        self._spools = [
            tuple(PartFollower(folder / f"{table}@{source_of(at)}.jsonl") for table in _TABLES)
            for at in range(len(targets))
        ]
        self.eventful_s: float | None = None
        self._own_until_ns = 0

    def poll(self) -> None:
        """Reads what has come, and tells what it shows."""
        step = self._clocks.read()
        clock = WallClock(self._clocks.pairs)
        for view, (sent, replies, pauses, segments, links, boots) in zip(self.views, self._spools, strict=True):
            kept = [(*row[:4], at) for row, at in _with_moments(clock, segments)]
            on_link = [OnLink(row[0], row[1], row[2], at) for row, at in _with_moments(clock, links)]
            view.beside.add(kept, on_link, clock_pair()[0], [Boot(*row) for row in boots.rows()])
            came = _with_moments(clock, replies)
            view.window.add(((seq, sent_ns) for seq, _, sent_ns in sent.rows()), ((row[0], at) for row, at in came))
            view.heard = view.heard or bool(came)
            for from_ns, until_ns, why in pauses.rows():
                view.paused_ns = from_ns, until_ns
                self._tell(BackOff(**self._of(view, from_ns), seconds=(until_ns - from_ns) / NS, why=why))
            if step is not None:
                view.window.doubt(step)
            now = clock_pair()[0]
            over, ongoing = view.window.look(now)
            for outage in over:
                self._told(view, outage)
            if ongoing is not None:
                self.eventful_s = mono_s()
                self._tell(Silent(**self._of(view, ongoing.gap.start_ns), seconds=ongoing.gap.gap_s))

    def _of(self, view: View, mono: int) -> dict[str, str]:
        return {"time": self._clocks.time(mono), "name": view.target.name, "address": view.target.address}

    def _told(self, view: View, outage: Outage, *, at_least: bool = False) -> None:
        gap = outage.gap
        if outage.owned:
            if gap.start_ns < view.paused_ns[1] and gap.end_ns > view.paused_ns[0]:
                return  # told already
            if gap.start_ns >= self._own_until_ns:  # once, for it is one prober that asks all addresses
                self._tell(OwnLateness(time=self._clocks.time(gap.start_ns), seconds=outage.own_s))
            self._own_until_ns = max(self._own_until_ns, gap.end_ns)
            return
        event = Blackout(
            **self._of(view, gap.start_ns), seconds=gap.blackout_s, bound_s=gap.bound_s, low_s=gap.low_s,
            high_s=gap.gap_s, lost=outage.lost, late=gap.late, at_least=at_least,
            **({} if at_least else self._shown(view, gap)),
        )  # fmt: skip
        view.last, view.blackouts = event, view.blackouts + 1
        view.blackout_total_s += event.seconds
        self.eventful_s = mono_s()
        self._tell(event)

    def _shown(self, view: View, gap: Gap) -> dict[str, Any]:
        """What else a blackout shows that is over, for its event."""
        shown = view.beside.shown((gap.start_ns, gap.end_ns))
        seconds = shown.step.seconds if shown.step is not None else None
        return {
            "paused_s": seconds,
            "paused_bound_s": shown.step.bound_s if shown.step is not None else None,
            "network_s": gap.blackout_s - seconds if seconds is not None else None,
            "pause_unknown": shown.unknown,
            "kept": shown.kept,
            "verdict": shown.judgement.verdict,
            "why": shown.judgement.why,
            "signs": [
                SeenSign(kind=sign.kind, time=self._clocks.time(sign.mono_ns), note=sign.note) for sign in shown.signs
            ],
        }

    def quiet(self) -> bool:
        """Whether outages were seen and QUIET_S have passed since the last one."""
        if self.eventful_s is None or mono_s() - self.eventful_s < QUIET_S:
            return False
        now = clock_pair()[0]
        return all(view.window.unended(now) is None for view in self.views)

    def end(self, *, drained: bool) -> None:
        """Tells what is not over, and the whole of each address. drained: all that was sent is read."""
        now = clock_pair()[0]
        for view in self.views:
            if drained:
                view.window.finish()
                for outage in view.window.look(now)[0]:
                    self._told(view, outage)
            going = view.window.unended(now)
            if going is not None and not going.owned:
                self._told(view, going, at_least=True)
            tally, rtt = view.window.tally(now), _median_s(view.window.recent(now))
            known = tally.answered + tally.lost
            self._tell(
                End(
                    **self._of(view, now), sent=tally.sent, answered=tally.answered, lost=tally.lost,
                    loss_ratio=tally.lost / known if known else None, rtt_s=rtt, rtt_max_s=tally.rtt_max_s,
                    blackouts=view.blackouts, blackout_total_s=view.blackout_total_s,
                )
            )  # fmt: skip


def _with_moments(clock: WallClock, follower: PartFollower) -> list[tuple[tuple[Any, ...], int]]:
    """New rows whose last columns are recv_wall_ns and recv_ns, each with when it came (mono ns)."""
    rows = [tuple(row) for row in follower.rows()]
    if not rows:
        return []
    walls, read = (np.array([row[at] for row in rows], dtype=np.int64) for at in (-2, -1))
    return list(zip(rows, to_mono(clock, walls, read).tolist(), strict=True))


def _median_s(packets: Packets) -> float | None:
    return packets.quiet_rtt_ns / NS if (packets.rtt_ns >= 0).any() else None


def settle_s(target: Target) -> float:
    """So long after a moment all that was answered until then is read."""
    settle_s = _SETTLE_BOOT_S if target.boot_url else _SETTLE_S
    if target.way == "http":
        return max(settle_s, _SETTLE_HTTP_S)
    if target.clock_port:  # a step of its clock wants some segments after it
        settle_s = max(settle_s, (LEAST_SEGMENTS + 2) / target.clock_rate)
    return max(settle_s, _SETTLE_TCP_S) if target.port or target.clock_port else settle_s


def source_of(at: int) -> str:
    """The source of a target's tables."""
    return f"echo-{at + 1}"


async def observe(
    targets: Sequence[Target], until: Until, tell: Callable[[Event], None], show: Callable[[Sequence[View]], None]
) -> bool:
    """Observes until the end, and says whether anything ever answered. show: is called several times a second. Problem
    where the prober cannot run or record."""
    with tempfile.TemporaryDirectory(prefix="migrascope-observe-") as name:
        folder = Path(name)
        async with contextlib.AsyncExitStack() as stack:
            probers = [
                await stack.enter_async_context(running(name, argv, Where(), folder / f"{name}.log", piped=True))
                for name, argv in _argvs(targets, folder).items()
            ]
            observation = Observation(targets, folder, tell)
            drained = False
            try:
                for prober in probers:
                    await prober.ready(_READY_S)
                await _follow(probers, observation, until, show)
                for prober in probers:
                    prober.send(signal.SIGUSR1)
                await asyncio.sleep(_DRAIN_S)
                observation.poll()
                drained = True
            finally:
                observation.end(drained=drained)
    return any(view.heard for view in observation.views)


def _argvs(targets: Sequence[Target], folder: Path) -> dict[str, list[str]]:
    """The command lines of the probers, by their names: one for all addresses, one for all pages."""
    addresses = [
        _config(at, target, port=target.port, prohibited=target.prohibited)
        for at, target in enumerate(targets)
        if target.way != "http"
    ]
    pages = [_config(at, target, url=target.name) for at, target in enumerate(targets) if target.way == "http"]
    clocks = [_config(at, target, port=target.clock_port) for at, target in enumerate(targets) if target.clock_port]
    links = [
        _config(at, target)
        for at, target in {target.address: (at, target) for at, target in reversed([*enumerate(targets)])}.values()
        if not ipaddress.ip_address(target.address).is_loopback
    ]
    boots = [_config(at, target, url=target.boot_url) for at, target in enumerate(targets) if target.boot_url]
    clock_rate = max(target.clock_rate for target in targets)
    common = {
        "directory": str(folder), "source": "echo", "host": HOST, "instance": "", "migration": "", "part_s": _PART_S,
        "rate": clock_rate,
    }  # fmt: skip
    wanted = {
        "prober": ("echoes", addresses), "visitor": ("fetches", pages), "reader of clocks": ("peer_clock", clocks),
        "watcher of the link": ("neighbour", links),
        "asker of boot ids": ("boot", boots),
    }  # fmt: skip
    return {
        name: [sys.executable, "-m", f"migrascope.probe.{module}", json.dumps({**common, "targets": found})]
        for name, (module, found) in wanted.items()
        if found
    }


def _config(at: int, target: Target, **own: Any) -> dict[str, Any]:
    return {
        "source": source_of(at), "instance": target.address, "address": target.address, "rate": target.rate, **own
    }  # fmt: skip


async def _follow(
    probers: Sequence[Process], observation: Observation, until: Until, show: Callable[[Sequence[View]], None]
) -> None:
    begun = mono_s()
    while not until.stop.is_set():
        left = POLL_S if until.for_s is None else min(POLL_S, begun + until.for_s - mono_s())
        if left <= 0 or (until.quiet and observation.quiet()):
            break
        try:
            async with asyncio.timeout(left):
                await until.stop.wait()
        except TimeoutError:
            pass
        ended = [prober for prober in probers if prober.ended]
        observation.poll()
        show(observation.views)
        for prober in ended:
            raise Problem(f"the {prober.name} has ended: {tail(prober.log, 1) or 'without a word'}")
