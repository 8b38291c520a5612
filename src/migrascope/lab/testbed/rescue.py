"""What an operator does after a failure until the service answers again: which step comes next, and where it is."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

STUCK_S = 20.0
"""So long a state between two others is waited for."""
SILENT_S = 15.0
"""So long an active server is waited for that does not answer."""
DIFFER_S = 30.0
"""So long a server that answers is watched that Nova has on another host than libvirt: a second copy may come."""
RESCUE_S = 180.0
END = "end the copy on "
"""A step: with the host on which libvirt runs what Nova has elsewhere."""
UNPLUG = "unplug its port on "
"""A step: with the host on which the switch still has a port of it."""


@dataclass(frozen=True)
class Seen:
    """What an operator sees of a server: Compute's status, task and host, each host's libvirt (state by host), and the
    hosts where its port is plugged."""

    status: str
    task: str | None
    host: str | None
    states: Mapping[str, str]
    plugged: Set[str] = frozenset()

    @property
    def stale(self) -> str | None:
        """A host on which its port is plugged although Nova has it on another."""
        return next(iter(sorted(self.plugged - {self.host})), None)

    @property
    def elsewhere(self) -> str | None:
        """A host on which it runs although Nova has it on another."""
        return next((host for host, state in self.states.items() if state == "running" and host != self.host), None)

    @property
    def well(self) -> bool:
        """Whether Nova calls it active and does nothing to it."""
        return (self.status, self.task) == ("ACTIVE", None)

    def settled(self, watched_s: float) -> bool:
        """Whether nothing more is to come: it is where Nova has it, or has been watched for long enough."""
        return self.well and (agree(self.host, True, self.states) or watched_s >= DIFFER_S)


def next_step(seen: Seen, answers: bool, waited_s: float, done: Sequence[str]) -> str | None:
    """The next step, or None to wait on. answers: the service; waited_s: since the step before.

    A server in error, or stuck between two states, is set active again and rebooted hard where it does not answer; one
    that is shut off is started. Of two copies the one that Nova does not know of is ended, and none may run when
    another is to be booted. A port that was left on another host takes what is for the server: it is unplugged before a
    reboot is tried.
    """
    if seen.task is not None:
        steps = ["restart nova-compute", "reset-state"] if waited_s >= STUCK_S else []
        return next((step for step in steps if step not in done), None)
    if seen.status == "ERROR":
        return "reset-state"
    if seen.status == "SHUTOFF":
        return _boot(seen, "start") if "start" not in done or waited_s >= STUCK_S else None
    if seen.status == "PAUSED":
        return "unpause"
    if seen.elsewhere is not None and seen.states.get(seen.host or "") == "running":
        return END + seen.elsewhere
    if answers or waited_s < SILENT_S:
        return None
    if seen.elsewhere is None and seen.stale is not None and UNPLUG + seen.stale not in done:
        return UNPLUG + seen.stale
    if "hard reboot" in done:
        return None
    return _boot(seen, "hard reboot")


def _boot(seen: Seen, step: str) -> str:
    return step if seen.elsewhere is None else END + seen.elsewhere


def place_text(nova: str, states: Mapping[str, str]) -> str:
    """Where the instance is by Nova ("ACTIVE on HOST") and by each host's libvirt (state by host)."""
    libvirts = ", ".join(f"{host} {state}" for host, state in states.items())
    return f"Nova: {nova}; libvirt: {libvirts}"


def agree(nova_host: str | None, active: bool, states: Mapping[str, str]) -> bool:
    """Whether Nova's opinion is what both libvirts say: running on Nova's host alone if it calls it active."""
    running = [host for host, state in states.items() if state == "running"]
    return running == ([nova_host] if active else [])
