"""**What it does.** `workers` (1 to 16) busy processes beside the `source` or the `destination`.

**How.** Processes in the host, which stand still until their moment.

**What it needs.** Nothing.

**Limits.** Both hosts share this machine's processors, so the other host and the meter feel it too."""

from typing import TYPE_CHECKING

from migrascope.model.kinds.kind import EVERY, HOST_SIDES, Injector, Kind, Tools

if TYPE_CHECKING:
    from migrascope.model.disturbance import Disturbance


class HostCpu(Kind):
    name = "host-cpu"
    ability = "stress on a host"
    does = "busy processes on a host"
    how = "busy processes in the host"
    targets = HOST_SIDES
    needs = ("workers",)
    labs = EVERY
    dose = ("workers", "workers")

    def injector(self, disturbance: "Disturbance", tools: Tools) -> Injector:
        return tools.occupy_processors(disturbance.target, disturbance.workers or 1)
