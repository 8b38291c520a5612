"""What kind of probe gets through to an instance."""

import asyncio

from migrascope.model.plan import EchoKind
from migrascope.node.namespace import Namespace
from migrascope.probe.icmp import EchoSocket

_TRIED, _EVERY_S = 10, 0.2


async def echo_kind(wanted: EchoKind, address: str, client: Namespace | None) -> EchoKind:
    """icmp or tcp: as wanted, and for "auto" ICMP if one of ten echo requests in two seconds is answered."""
    if wanted != "auto":
        return wanted
    opened = EchoSocket(address) if client is None else client.call(lambda: EchoSocket(address))
    with opened as echo:
        for seq in range(_TRIED):
            echo.send(echo.request(seq))
            await asyncio.sleep(_EVERY_S)
            if echo.receive(_TRIED):
                return "icmp"
    return "tcp"
