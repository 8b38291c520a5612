"""Calls to the agent in the guest, from the client's namespace."""

from typing import Any

from migrascope.lab.runtime import Runtime
from migrascope.node.namespace import Namespace
from migrascope.store.document import parse_object
from migrascope.trial.runtime import MACHINE

SLOW_S = 30.0
"""How long a guest may take to answer that has hardly a processor, where nothing is measured by it."""


class AgentClient:
    """The agent at `url`, asked from inside `namespace`; None is this machine's own network."""

    def __init__(self, url: str, namespace: Namespace | None, runtime: Runtime = MACHINE) -> None:
        self._url, self._namespace, self._runtime = url, namespace, runtime

    async def ask(self, path: str, *, post: bool = False, timeout_s: float = 5.0) -> dict[str, Any]:
        """The JSON that the agent gives. OSError when it does not answer with 200 in time."""
        try:
            status, body = await self._runtime.request(
                self._namespace, self._url + path, post=post, timeout_s=timeout_s
            )
            if status >= 400:
                raise OSError(f"status {status}")
            return parse_object(body)
        except (OSError, ValueError) as error:
            raise OSError(f"{path}: {error}") from error

    async def ready(self) -> bool:
        """Whether the website and the agent answer."""
        try:
            await self.ask("/ready", timeout_s=1.0)
        except OSError:
            return False
        return True
