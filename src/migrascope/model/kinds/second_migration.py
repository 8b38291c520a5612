"""**What it does.** The same migration is asked for again while it runs. It needs a phase.

**How.** `migrate` on the source. QEMU's answer, which is to refuse, is in the note. On OpenStack: `os-migrateLive`
once more, which Nova refuses with 409.

**What it needs.** Nothing.

**Limits.** None known."""

from typing import TYPE_CHECKING

from migrascope.model.kinds.kind import EVERY, OPERATOR, Injector, Kind, Tools

if TYPE_CHECKING:
    from migrascope.model.disturbance import Disturbance


class SecondMigration(Kind):
    name = "second-migration"
    ability = OPERATOR
    does = "the same migration is asked for again"
    how = "the same migration asked for again"
    instant = True
    labs = EVERY

    def injector(self, disturbance: "Disturbance", tools: Tools) -> Injector:
        return tools.migrate_again()
