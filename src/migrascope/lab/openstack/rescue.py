"""What an operator does after a failure until the service answers again: which step comes next, and where it is."""

from collections.abc import Mapping, Sequence

STUCK_S = 20.0
"""So long a state between two others is waited for."""
SILENT_S = 15.0
"""So long an active server is waited for that does not answer."""
RESCUE_S = 180.0


def next_step(status: str, task: str | None, answers: bool, waited_s: float, done: Sequence[str]) -> str | None:
    """The next step, or None to wait on. waited_s: since the step before.

    status, task: Compute's of the server. A server in error, or stuck between two states, is set active again and
    rebooted hard where it does not answer; one that is shut off is started.
    """
    if task is not None:
        steps = ["restart nova-compute", "reset-state"] if waited_s >= STUCK_S else []
        return next((step for step in steps if step not in done), None)
    if status == "ERROR":
        return "reset-state"
    if status == "SHUTOFF":
        return "start" if "start" not in done or waited_s >= STUCK_S else None
    if status == "PAUSED":
        return "unpause"
    if answers or waited_s < SILENT_S or "hard reboot" in done:
        return None
    return "hard reboot"


def place_text(nova: str, states: Mapping[str, str]) -> str:
    """Where the instance is by Nova ("ACTIVE on HOST") and by each host's libvirt (state by host)."""
    libvirts = ", ".join(f"{host} {state}" for host, state in states.items())
    return f"Nova: {nova}; libvirt: {libvirts}"


def agree(nova_host: str | None, active: bool, states: Mapping[str, str]) -> bool:
    """Whether Nova's opinion is what both libvirts say: running on Nova's host alone if it calls it active."""
    running = [host for host, state in states.items() if state == "running"]
    return running == ([nova_host] if active else [])
