"""Kinds that disturb frames of a link, in one direction or for one host alone where they are told so."""

from typing import TYPE_CHECKING

from migrascope.model.kinds.kind import LINKS, Kind

if TYPE_CHECKING:
    from migrascope.model.disturbance import Disturbance


class FrameKind(Kind):
    """A kind with a way and a host."""

    targets = LINKS
    takes = ("way", "host")

    def problem(self, disturbance: "Disturbance") -> str | None:
        if disturbance.way not in (None, "both") and disturbance.target != "migration":
            return "way: only the migration link can be disturbed in one direction"
        if disturbance.host is not None and disturbance.target in ("migration", "external"):
            return f"host: it has no meaning on the link {disturbance.target}, only on storage, tenant and management"
        return None
