"""A named network namespace, as `ip netns` shows it."""

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pyroute2.netns
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from migrascope.node.sandbox import set_namespace

NETNS = Path("/run/netns")
T = TypeVar("T")


def index_of(routes: IPRoute, interface: str) -> int:
    """The number of an interface. LookupError when there is none of that name."""
    found = routes.link_lookup(ifname=interface)
    if not found:
        raise LookupError(f"no interface {interface}")
    return int(found[0])


def has_ipv6() -> bool:
    """Whether this machine's kernel has IPv6: one that was begun without it has none of its settings."""
    return Path("/proc/sys/net/ipv6").exists()


class Namespace:
    """One network namespace; create and delete it, configure it, call into it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = NETNS / name

    def create(self) -> None:
        """Makes it, with its loopback up and without IPv6, so that nothing speaks on its links unasked."""
        pyroute2.netns.create(self.name)
        if has_ipv6():
            self.write_sysctl("net/ipv6/conf/all/disable_ipv6", "1")
            self.write_sysctl("net/ipv6/conf/default/disable_ipv6", "1")
        self.configure(lambda routes: routes.link("set", index=index_of(routes, "lo"), state="up"))

    def delete(self) -> None:
        """Removes its name; the kernel frees it when its last process is gone. No error if it is not there."""
        with contextlib.suppress(FileNotFoundError):
            pyroute2.netns.remove(self.name)

    def call(self, function: Callable[[], T]) -> T:
        """What the function gives when a thread inside the namespace calls it; its exception is raised here."""
        result: list[T] = []
        failure: list[BaseException] = []

        def inside() -> None:
            try:
                set_namespace(str(self.path))
                result.append(function())
            except BaseException as error:  # carried over to the calling thread
                failure.append(error)

        thread = threading.Thread(target=inside, name=f"in {self.name}")
        thread.start()
        thread.join()
        if failure:
            raise failure[0]
        return result[0]

    def configure(self, function: Callable[[IPRoute], T]) -> T:
        """What the function gives when it is called with a netlink socket inside the namespace.

        OSError where the kernel refuses.
        """

        def inside() -> T:
            try:
                with IPRoute() as routes:
                    return function(routes)
            except NetlinkError as error:
                raise OSError(error.code, f"{self.name}: {error}") from error

        return self.call(inside)

    def allow_ipv6(self, interface: str) -> None:
        """Turns IPv6 on for one interface that is there. Its address is fixed: no router's advertisement is heeded, and
        the address is used at once, without a look for duplicates. OSError where the kernel has no IPv6."""
        for key, value in (("accept_ra", "0"), ("accept_dad", "0"), ("disable_ipv6", "0")):
            self.write_sysctl(f"net/ipv6/conf/{interface}/{key}", value)

    def write_sysctl(self, key: str, value: str) -> None:
        """Sets a network sysctl of this namespace alone, "net/ipv4/ip_forward" for example."""
        self.call(lambda: Path("/proc/sys", key).write_text(value))

    def inode(self) -> int | None:
        """The namespace's identity in /proc/PID/ns/net, None if it is not there."""
        try:
            return self.path.stat().st_ino
        except FileNotFoundError:
            return None
