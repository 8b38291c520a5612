"""The capture of the visitors' network, as a program of a trial."""

from collections.abc import Sequence

from migrascope.model.plan import CapturePlan
from migrascope.node.namespace import Namespace
from migrascope.node.process_spec import ProcessSpec

SOURCE = "sniffer"


def capture_member(client: Namespace | None, addresses: Sequence[str], plan: CapturePlan) -> ProcessSpec:
    """Captures what passes between the client and these IPv4 addresses, the website's first."""
    config = {"addresses": list(dict.fromkeys(addresses)), "snaplen": plan.snaplen}
    return ProcessSpec(SOURCE, "migrascope.probe.capture", "client", client, config)
