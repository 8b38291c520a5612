"""Calls to the agent in the guest, from the client's namespace."""

import socket
from functools import partial
from typing import Any

import aiohttp

from migrascope.node.namespace import Namespace


class GuestCall:
    """The agent at `url`, asked from inside `namespace`; None is this machine's own network."""

    def __init__(self, url: str, namespace: Namespace | None) -> None:
        self._url, self._namespace = url, namespace

    def _socket(self, address: aiohttp.AddrInfoType) -> socket.socket:
        """A socket belongs to the namespace in which it was made, whoever uses it."""
        make = partial(socket.socket, *address[:3])
        made = make() if self._namespace is None else self._namespace.call(make)
        made.setblocking(False)
        return made

    async def ask(self, path: str, *, post: bool = False, timeout_s: float = 5.0) -> dict[str, Any]:
        """The JSON that the agent gives. OSError when it does not answer with 200 in time."""
        limit = aiohttp.ClientTimeout(total=timeout_s)
        connector = aiohttp.TCPConnector(socket_factory=self._socket, force_close=True)
        async with aiohttp.ClientSession(connector=connector, timeout=limit, raise_for_status=True) as session:
            try:
                async with session.request("POST" if post else "GET", self._url + path) as answer:
                    value: dict[str, Any] = await answer.json(content_type=None)
                    return value
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                raise OSError(f"{path}: {error or 'no answer in time'}") from error

    async def ready(self) -> bool:
        """Whether the website and the agent answer."""
        try:
            await self.ask("/ready", timeout_s=1.0)
        except OSError:
            return False
        return True
