"""Two namespaces joined by a veth pair, each end with an IPv4 and an IPv6 address."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from migrascope.node.link import take_up
from migrascope.node.namespace import Namespace

IPV4, IPV6 = "10.9.8.2", "fd00:9:8::2"
"""Of the second one."""


@contextmanager
def joined(*roles: str) -> Iterator[tuple[Namespace, Namespace]]:
    """The two of these roles; both are gone afterwards."""
    first, second = (Namespace(f"ms-test-{os.getpid()}-{role}") for role in roles)
    try:
        for namespace in (first, second):
            namespace.create()
            namespace.write_sysctl("net/ipv6/conf/default/disable_ipv6", "0")
            namespace.write_sysctl("net/ipv6/conf/default/accept_dad", "0")
        peer = {"ifname": "v0", "net_ns_fd": second.name}
        first.configure(lambda routes: routes.link("add", ifname="v0", kind="veth", peer=peer))
        for namespace, end in ((first, 1), (second, 2)):
            namespace.write_sysctl("net/ipv6/conf/v0/disable_ipv6", "0")
            for address in (f"10.9.8.{end}/24", f"fd00:9:8::{end}/64"):
                namespace.configure(partial(take_up, interface="v0", address=address))
        yield first, second
    finally:
        first.delete()
        second.delete()
