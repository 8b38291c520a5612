"""What `observe` tells from outside, against pauses of a guest and cuts of its link of known lengths: its blackouts,
and how long it says that the guest itself was paused.

    sudo .venv/bin/python benchmarks/outside.py [REPEATS]

The QEMU lab's instance is stopped and continued by QMP, 0.1 to 1 s each time, REPEATS times each length; and half as
often its port is cut for as long. The observer runs where the visitors are, and knows nothing but the address.

A guest that was paused is silent for longer than that: it has to wake up. So the blackout of a pause is held against
QMP's stamps, and against the guest's first answer, as the kernel saw it on the guest's tap.

Goals: of a hundred pauses, 95 within 5 ms; blackouts 2.5 ms off at p95.
"""

import asyncio
import random
import socket
import sys
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self, cast

import numpy as np

from common import machine, verdict
from migrascope.lab.qemu.lab import QemuInstance, QemuLab
from migrascope.model.clock import clock_pair
from migrascope.node.link import PortSwitch
from migrascope.node.namespace import Namespace
from migrascope.probe.stamped import arrivals, stamp
from migrascope.trial.parts import Trial
from observer_process import Observer, guest_up

LENGTHS_S = (0.1, 0.2, 0.5, 1.0)
QUIET_S, REST_S = 15.0, 3.5
RATE = 500
_ALL, _HEADERS = 3, 14 + 20 + 1
PAUSED, ANSWERED, CUT = "blackout, paused", "blackout, paused, until the guest answered", "blackout, cut"
WITHIN_S, SHARE, BLACKOUT_S = 0.005, 0.95, 0.0025


@dataclass(frozen=True)
class Outage:
    """One that was made, a pause or a cut: its begin (wall, s), and its length (s). silent_s: of a pause, until the
    guest answered again."""

    kind: str
    begin_s: float
    length_s: float
    silent_s: float | None = None


class Answers:
    """The echo replies that a guest sends, as they come out of its tap, before its bridge takes them from all that
    ask for one protocol alone."""

    def __init__(self, space: Namespace, tap: str) -> None:
        self._socket = space.call(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL)))
        self._socket.setblocking(False)
        self._socket.bind((tap, _ALL))
        stamp(self._socket)
        self._seen: list[int] = []

    def first_after(self, wall_ns: int) -> int | None:
        """When the first came after that moment (wall ns)."""
        return next((seen for seen in self._seen if seen > wall_ns), None)

    def read(self) -> None:
        """Takes what has come."""
        for arrival in arrivals(self._socket, 10_000, _HEADERS):
            kind, protocol, icmp = arrival.data[12:14], arrival.data[23:24], arrival.data[34:35]
            if (kind, protocol, icmp) == (b"\x08\x00", bytes([socket.IPPROTO_ICMP]), b"\0"):
                self._seen.append(arrival.wall_ns)

    def __enter__(self) -> Self:
        asyncio.get_running_loop().add_reader(self._socket, self.read)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()


async def outages(trial: Trial, repeats: int) -> list[Outage]:
    """Makes them, in shuffled order."""
    made, found = cast(QemuInstance, trial.instance), []
    monitor, space = made.monitors[made.host], cast(QemuLab, trial.lab).topology.nodes[made.host]
    kinds = ["pause"] * repeats + ["cut"] * (repeats // 2)
    series = [(kind, length) for kind in kinds for length in LENGTHS_S]
    random.Random(1).shuffle(series)
    await asyncio.sleep(QUIET_S)
    with PortSwitch(space, made.spec.tap) as port, Answers(space, made.spec.tap) as answers:

        async def silence(kind: str, *, begins: bool) -> None:
            if kind == "cut":
                port.set(cut=begins)
            else:
                await monitor.execute("stop" if begins else "cont")

        for kind, length in series:
            before, wall = clock_pair()
            await silence(kind, begins=True)
            begun, _ = clock_pair()
            await asyncio.sleep(length * random.uniform(0.9, 1.1))
            asked, _ = clock_pair()
            await silence(kind, begins=False)
            after, _ = clock_pair()
            await asyncio.sleep(REST_S)
            again = answers.first_after(wall + asked - before) if kind == "pause" else None
            # it was stopped between `before` and `begun`
            silent = None if again is None else (again - wall - (begun - before) / 2) / 1e9
            found.append(Outage(kind, wall / 1e9, (asked + after - before - begun) / 2e9, silent))
    return found


async def observed(repeats: int) -> tuple[dict[str, Any], list[Outage], list[dict[str, Any]]]:
    """The lab's facts, the outages that were made, and the blackouts that were told."""
    async with guest_up() as (trial, facts):
        observer = Observer(trial.lab.client, trial.instance.address, RATE)
        await observer.start()
        try:
            made = await outages(trial, repeats)
        finally:
            told = await observer.stop()
        return facts, made, [event for event in told if event["event"] == "blackout"]


def table(facts: dict[str, Any], made: list[Outage], told: list[dict[str, Any]]) -> str:
    """Each outage with the blackout that began nearest to it; one of which none was told counts as missed."""
    begins = np.array([datetime.fromisoformat(event["time"]).timestamp() for event in told])
    off: dict[str, list[float]] = {"guest's pause": [], **{name: [] for name in (PAUSED, ANSWERED, CUT)}}
    unknown: dict[str, int] = {}
    for each in made:
        near = int(np.argmin(np.abs(begins - each.begin_s))) if len(begins) else -1
        why = ""
        if near < 0 or abs(begins[near] - each.begin_s) > 1:
            why = f"no blackout was told of a {each.kind}"
        else:
            event = told[near]
            off[PAUSED if each.kind == "pause" else CUT].append(event["seconds"] - each.length_s)
            if each.silent_s is not None:
                off[ANSWERED].append(event["seconds"] - each.silent_s)
            if each.kind == "pause" and event["paused_s"] is not None:
                off["guest's pause"].append(event["paused_s"] - each.length_s)
            elif each.kind == "pause":
                why = f"how long it was paused is not known: {event['pause_unknown']}"
            elif event["paused_s"] is not None:
                why = f"a cut was told as a pause of {1e3 * event['paused_s']:.0f} ms"
        if why:
            unknown[why] = unknown.get(why, 0) + 1
    lines = [machine(facts), f"outages of 0.1 to 1 s, {RATE} probes a second; errors in ms"]
    for name, errors in off.items():
        size = 1e3 * np.abs(errors) if errors else np.full(1, np.nan)
        lines.append(
            f"{name:42} n {len(errors):4}  bias {1e3 * np.median(errors) if errors else np.nan:7.2f}  |error| "
            f"{np.median(size):6.2f}  p95 {np.percentile(size, 95):6.2f}  worst {size.max():6.2f}"
        )
    lines += [f"{count} times: {why}" for why, count in unknown.items()]
    within = sum(abs(error) <= WITHIN_S for error in off["guest's pause"])
    pauses = sum(each.kind == "pause" for each in made)
    lines.append(f"pauses within 5 ms: {within} of {pauses} (goal 95 %: {verdict(within >= SHARE * pauses)})")
    for name in (PAUSED, ANSWERED, CUT):
        worst = float(np.percentile(np.abs(off[name]), 95)) if off[name] else float("inf")
        lines.append(f"{name} at p95 (goal 2.5 ms): {verdict(worst <= BLACKOUT_S)}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(*asyncio.run(observed(int(sys.argv[1]) if len(sys.argv) > 1 else 25))))
