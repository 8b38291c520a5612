"""**What it does.** Reads at `write_rate` (4096B/s at least; the key is that of the loads that write) from a file of
`working_set` (1 to 192 MiB) on the guest's volume.

**How.** [Load in the guest](../guest-load.md) by its agent. The table `stress` holds the rate that was reached.

**What it needs.** Room on the guest's volume, which holds 192 MiB for it.

**Limits.** It begins when the file is filled: `when` is `trial` or `window`. It is not combined with
`axes.write_rate`."""

from migrascope.model.kinds.guestload import DiskLoad


class GuestDiskRead(DiskLoad):
    name = "guest-disk-read"
    does = "reads from the guest's volume"
    how = "reads from a file on the guest's volume"
