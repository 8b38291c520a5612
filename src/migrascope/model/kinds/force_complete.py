"""**What it does.** The operator asks Nova to complete the migration: the guest is paused until it has arrived. It
needs a phase.

**How.** `POST /servers/ID/migrations/ID/action` with `force_complete`.

**What it needs.** OpenStack; the lab `qemu` has no API.

**Limits.** Nova takes it only while the migration is *running*, and its answer takes tenths of a second. One that is
refused has not taken effect: the trial says so with the refusal's words, and is *unknown*."""

from typing import TYPE_CHECKING

from migrascope.model.kinds.kind import CLOUD, OPERATOR, Injector, Kind, Tools

if TYPE_CHECKING:
    from migrascope.model.disturbance import Disturbance


class ForceComplete(Kind):
    name = "force-complete"
    ability = OPERATOR
    does = "the operator has Nova complete it"
    how = "an API's force_complete of the running migration"
    instant = True
    labs = CLOUD

    def injector(self, disturbance: "Disturbance", tools: Tools) -> Injector:
        return tools.force_completion()
