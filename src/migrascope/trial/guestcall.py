"""Calls to the agent in the guest, from the client's namespace."""

import socket
from collections.abc import Callable
from functools import partial
from typing import Any

import aiohttp

from migrascope.node.namespace import Namespace

SLOW_S = 30.0
"""How long a guest may take to answer that has hardly a processor, where nothing is measured by it."""


def socket_factory(namespace: Namespace | None) -> Callable[[aiohttp.AddrInfoType], socket.socket]:
    """What makes sockets inside a namespace, to which they belong whoever uses them; None: in this machine's own."""

    def made(address: aiohttp.AddrInfoType) -> socket.socket:
        make = partial(socket.socket, *address[:3])
        one = make() if namespace is None else namespace.call(make)
        one.setblocking(False)
        return one

    return made


class GuestCall:
    """The agent at `url`, asked from inside `namespace`; None is this machine's own network."""

    def __init__(self, url: str, namespace: Namespace | None) -> None:
        self._url, self._factory = url, socket_factory(namespace)

    async def ask(self, path: str, *, post: bool = False, timeout_s: float = 5.0) -> dict[str, Any]:
        """The JSON that the agent gives. OSError when it does not answer with 200 in time."""
        limit = aiohttp.ClientTimeout(total=timeout_s)
        connector = aiohttp.TCPConnector(socket_factory=self._factory, force_close=True)
        async with aiohttp.ClientSession(connector=connector, timeout=limit, raise_for_status=True) as session:
            try:
                async with session.request("POST" if post else "GET", self._url + path) as answer:
                    value: dict[str, Any] = await answer.json(content_type=None)
                    return value
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                raise OSError(f"{path}: {str(error) or 'no answer in time'}") from error

    async def ready(self) -> bool:
        """Whether the website and the agent answer."""
        try:
            await self.ask("/ready", timeout_s=1.0)
        except OSError:
            return False
        return True
