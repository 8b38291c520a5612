"""**What it does.** An operator aborts the migration. It needs a phase.

**How.** `migrate_cancel` on the source; while only the volume is copied, `block-job-cancel` of that job by force.

On OpenStack: `DELETE /servers/ID/migrations/ID`.

**What it needs.** Nothing.

**Limits.** What has begun on the destination in post-copy cannot be aborted: QEMU refuses it. Nova refuses while the
migration is only *accepted* (400). An abort that is refused has not taken effect: the trial says so with the
refusal's words, and is *unknown*. One that is taken may still come too late: the migration then completes."""

from typing import TYPE_CHECKING

from migrascope.model.kinds.kind import EVERY, OPERATOR, Injector, Kind, Tools

if TYPE_CHECKING:
    from migrascope.model.disturbance import Disturbance


class Abort(Kind):
    name = "abort"
    ability = OPERATOR
    does = "the operator aborts the migration"
    how = "migrate_cancel on the source"
    instant = True
    labs = EVERY

    def injector(self, disturbance: "Disturbance", tools: Tools) -> Injector:
        return tools.abort_migration()
