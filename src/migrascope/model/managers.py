"""Managers of a plan's policies: who looks at a migration while it runs, with the settings that each of them has."""

from typing import Annotated, Literal

from pydantic import Field

from migrascope.model.controllers import Advised, Fixed, Nova, Ovirt, Proxmox, nova_steps
from migrascope.model.quantity import DAY_S, Duration, Part

MANAGERS = ("fixed", "nova", "ovirt", "proxmox", "advised")
"""By their keys in a policy."""
Limit = Annotated[Duration, Field(ge=0.001, le=2000)]
"""What QEMU takes as a downtime limit."""
STOP_S = 0.065
"""What the guest stands beside what the limit is about, for its devices' state and its start: in post-copy, where that
is all, medians of 37 to 60 ms were measured under TCG (docs/measured.md)."""


class FixedLimit(Part):
    """One limit of its own, whatever the axis says: 300 ms are QEMU's default."""

    downtime: Limit = 0.3

    def controller(self, downtime_limit_s: float, memory_bytes: int) -> Fixed:
        return Fixed(self.downtime)


class NovaSteps(Part):
    """Nova's live_migration_downtime_steps and _delay, with its own defaults; live_migration_downtime is the axis's
    downtime limit."""

    steps: int = Field(10, ge=3, le=1000)
    delay: Annotated[Duration, Field(ge=3, le=DAY_S)] = 75.0

    def controller(self, downtime_limit_s: float, memory_bytes: int) -> Nova:
        return Nova(nova_steps(downtime_limit_s, self.steps, self.delay, memory_bytes / 2**30))


class OvirtSchedule(Part):
    """oVirt's policy "Minimal downtime", which has limits of its own. look: VDSM's migration_monitor_interval."""

    look: Annotated[Duration, Field(ge=0.1, le=60)] = 10.0

    def controller(self, downtime_limit_s: float, memory_bytes: int) -> Ovirt:
        return Ovirt(look_s=self.look)


class ProxmoxDoubling(Part):
    """Proxmox VE's migrate_downtime, which is doubled while the migration does not come to an end."""

    downtime: Limit = 0.1

    def controller(self, downtime_limit_s: float, memory_bytes: int) -> Proxmox:
        return Proxmox(self.downtime)


class AdvisedLimit(Part):
    """Ours. first: the limit that was advised, with which it begins. The axis's downtime limit is the longest pause
    that the user bears: QEMU's limit stays STOP_S below it, or at half of it where that is more. turn: where more would
    be needed, the guest is turned over to post-copy, or never."""

    first: Limit = 0.1
    turn: Literal["never", "post-copy", "post-copy-preempt"] = "never"

    def controller(self, downtime_limit_s: float, memory_bytes: int) -> Advised:
        most_s = max(downtime_limit_s - STOP_S, downtime_limit_s / 2)
        return Advised(min(self.first, most_s), most_s, may_turn=self.turn != "never")
