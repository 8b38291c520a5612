"""A thread that stays in a network namespace with its netlink socket: making these takes up to 100 ms where all cores
are busy."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from migrascope.node.namespace import Namespace
from migrascope.node.sandbox import set_namespace

T = TypeVar("T")


class NamespaceThread:
    """Calls into one namespace, one after another, without what a first call costs. Close it."""

    def __init__(self, namespace: Namespace) -> None:
        """OSError where there is no such namespace."""
        path = str(namespace.path)
        self._name = namespace.name
        self._thread = ThreadPoolExecutor(1, f"inside {namespace.name}", lambda: set_namespace(path))
        self._routes: IPRoute = self._thread.submit(IPRoute).result()

    def call(self, function: Callable[[], T]) -> T:
        """What the function gives; OSError where the kernel refuses."""
        try:
            return self._thread.submit(function).result()
        except NetlinkError as error:
            raise OSError(error.code, f"{self._name}: {error}") from error

    def configure(self, function: Callable[[IPRoute], T]) -> T:
        """What the function gives when it is called with the netlink socket; OSError where the kernel refuses."""
        return self.call(lambda: function(self._routes))

    def close(self) -> None:
        self._thread.submit(self._routes.close).result()
        self._thread.shutdown()
