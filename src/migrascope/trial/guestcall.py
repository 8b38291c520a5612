"""Calls to the agent in the guest, from the client's namespace."""

import asyncio
import json
import urllib.request
from typing import Any

from migrascope.node.namespace import Namespace

_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class GuestCall:
    """The agent at `url`, asked from inside `namespace`."""

    def __init__(self, url: str, namespace: Namespace) -> None:
        self._url, self._namespace = url, namespace

    async def ask(self, path: str, *, post: bool = False, timeout_s: float = 5.0) -> dict[str, Any]:
        """The JSON that the agent gives. OSError when it does not answer with 200 in time."""

        def fetch() -> dict[str, Any]:
            request = urllib.request.Request(self._url + path, data=b"" if post else None)
            with _NO_PROXY.open(request, timeout=timeout_s) as answer:
                value: dict[str, Any] = json.loads(answer.read())
                return value

        return await asyncio.to_thread(self._namespace.call, fetch)

    async def ready(self) -> bool:
        """Whether the website and the agent answer."""
        try:
            await self.ask("/ready", timeout_s=1.0)
        except (OSError, ValueError):
            return False
        return True
