"""**What it does.** Ceph recovers while the instance migrates: the store (OSD) of the `source` or the `destination` was
away, and has to catch up with `working_set` (1 MiB to 4 GiB), and with what the instance wrote meanwhile.

**How.** When the trial is prepared, Ceph is told not to recover (flags `norecover`, `nobackfill`), the OSD is
stopped, `working_set` is written into objects of 4 MiB in the pool of the volumes (namespace `migrascope`), and the
OSD is started again: it takes part, and lacks these objects. At its moment the flags are unset. "Took effect" is the
first object that was recovered, by the counters of the placement groups, which are asked every 50 ms. The note says
how many objects were lacking, and how much was recovered in which time. Healing, after `duration`, removes the
objects, and with them what was not recovered yet.

**What it needs.** The testbed, and room on this machine's disk for twice `working_set`, and a GiB to spare.

**Limits.** How fast it goes Ceph decides (mClock, its defaults); there is no dose for that. Ceph is not HEALTH_OK
from the preparation on, and the check of Ceph beside the verdict says so. For some seconds of the preparation, before
the steady state, the instance's volume has one copy. The instance writes on while recovery is forbidden: Ceph
recovers an object that is written to at once.

A run that was killed leaves flags, objects or a stopped OSD: the next run, or `migrascope testbed up`, takes them
back."""

from typing import TYPE_CHECKING

from migrascope.model.kinds.kind import CLOUD, HOST_SIDES, Injector, Tools, given
from migrascope.model.kinds.stores import StoreKind

if TYPE_CHECKING:
    from migrascope.model.disturbance import Disturbance


class CephRecovery(StoreKind):
    name = "ceph-recovery"
    does = "Ceph recovers what a host's store lacks"
    how = "an OSD was away, and catches up"
    targets = HOST_SIDES
    needs = ("working_set",)
    labs = CLOUD

    def injector(self, disturbance: "Disturbance", tools: Tools) -> Injector:
        return tools.recover_store(disturbance.target, given(disturbance.working_set))
