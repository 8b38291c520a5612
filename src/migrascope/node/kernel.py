"""What this kernel can do for a lab, tried out in a network namespace without a name: nobody sees it, nothing stays."""

import ctypes
import os
import threading
from collections.abc import Callable

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from migrascope.model.kinds.kind import BUCKET, LOSS, TAP
from migrascope.node.loss import Table, at_random
from migrascope.node.namespace import index_of
from migrascope.node.sandbox import CLONE_NEWNET


def features() -> dict[str, str]:
    """Each feature that a lab needs, with the kernel's words where it refuses; empty where it works. Needs root."""
    found: dict[str, str] = {}

    def inside() -> None:
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
            found["network namespaces"] = os.strerror(ctypes.get_errno())
            return
        found["network namespaces"] = ""
        with IPRoute() as routes:
            for name, attempt in _ATTEMPTS.items():
                found[name] = _words(attempt, routes)

    thread = threading.Thread(target=inside, name="kernel features")
    thread.start()
    thread.join()
    return found


def _words(attempt: Callable[[IPRoute], object], routes: IPRoute) -> str:
    try:
        attempt(routes)
    except (NetlinkError, OSError, LookupError) as error:
        return str(error)
    return ""


def _tbf(routes: IPRoute) -> None:
    routes.tc("add", "tbf", index=index_of(routes, "lo"), handle="1:", rate=10**6, burst=65536, limit=65536)


def _loss(_: IPRoute) -> None:
    table = Table()
    try:
        table.make(at_random(["lo"], [], 0.5))
        table.sleep(asleep=False)
    finally:
        table.remove()


_ATTEMPTS: dict[str, Callable[[IPRoute], object]] = {
    "veth": lambda routes: routes.link("add", ifname="left", kind="veth", peer={"ifname": "right"}),
    "bridge": lambda routes: routes.link("add", ifname="switch", kind="bridge"),
    BUCKET: _tbf,
    LOSS: _loss,
    TAP: lambda routes: routes.link("add", ifname="tap", kind="tuntap", mode="tap"),
}
