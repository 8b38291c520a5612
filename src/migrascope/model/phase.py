"""The phases of a migration by the hypervisors' events, and the trigger that waits for one of them."""

from typing import Any

from migrascope.model.kinds.kind import ACCEPTED, STORAGE_COPY

CLOCK_JOB = "migrascope-clock"
"""How the ids of those jobs begin that are asked of QEMU for their stamps (probe/files/domain.py)."""
_STATUS = {"setup": "setup", "active": "first-copy", "postcopy-active": "post-copy", "completed": "finish"}


def phase_of(event: str, data: dict[str, Any]) -> str | None:
    """The phase that begins with an event of the source's QEMU, or None. QMP: MIGRATION, MIGRATION_PASS, STOP, and
    JOB_STATUS_CHANGE of the job that copies a volume.

    ACCEPTED is an API's: it has taken the request.
    """
    if event == "ACCEPTED":
        return ACCEPTED
    if event == "STOP":
        return "switchover"
    if event == "MIGRATION_PASS":
        return f"round:{data.get('pass')}"
    if event == "JOB_STATUS_CHANGE":
        return STORAGE_COPY if data.get("status") == "running" and copies(str(data.get("id"))) else None
    return _STATUS.get(str(data.get("status"))) if event == "MIGRATION" else None


def copies(job: str) -> bool:
    """Whether a job of QEMU's is the copy of a volume, by its id: the labs begin no other than those that read a
    host's clock."""
    return not job.startswith(CLOCK_JOB)


class Trigger:
    """Waits for one phase; events before the request are of no migration. It fires once."""

    def __init__(self, phase: str) -> None:
        self.phase = phase
        self.requested = False
        self.fired_ns: int | None = None

    def request(self) -> None:
        """The migration is being asked for."""
        self.requested = True

    def see(self, event: str, data: dict[str, Any], at_ns: int) -> bool:
        """Whether this event of the source begins the phase; at_ns: when it happened (monotonic)."""
        if not self.requested or self.fired_ns is not None or phase_of(event, data) != self.phase:
            return False
        self.fired_ns = at_ns
        return True
