"""**What it does.** Writes at `write_rate` (4096B/s at least) to a file of `working_set` (1 to 192 MiB) on the guest's
volume; `sync = true`: each block is on the volume before the next.

**How.** [Load in the guest](../guest-load.md) by its agent. The table `stress` holds the rate that was reached.

**What it needs.** Room on the guest's volume, which holds 192 MiB for it.

**Limits.** It begins when the file is filled: `when` is `trial` or `window`. It is not combined with
`axes.write_rate`."""

from typing import TYPE_CHECKING

from migrascope.model.kinds.guestload import DiskLoad

if TYPE_CHECKING:
    from migrascope.model.disturbance import Disturbance


class GuestDiskWrite(DiskLoad):
    name = "guest-disk-write"
    does = "writes to the guest's volume"
    how = "writes to a file on the guest's volume"
    takes = ("sync",)

    def told(self, disturbance: "Disturbance", sink: str) -> dict[str, str]:
        return {**super().told(disturbance, sink), **({"sync": "1"} if disturbance.sync else {})}
