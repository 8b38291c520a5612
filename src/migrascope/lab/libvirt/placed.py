"""A domain by what two hosts' libvirts say of it: on which of them it is, and in which state."""

import contextlib
from collections.abc import Collection, Mapping
from typing import Any

from migrascope.lab.libvirt.connection import NONE, Connection, LibvirtError
from migrascope.model.postcheck import PostCheck
from migrascope.node.wait import wait_until

GONE, SILENT, OFF = "no domain", "no answer", "shut off"
"""What stands for its state where a host's libvirt does not know it, says nothing, or has its definition alone."""
_STATES = ("no state", "running", "blocked", "paused", "in shutdown", OFF, "crashed", "suspended by the guest")
"""virDomainState, by number."""


class Placed:
    """A domain of a UUID."""

    def __init__(self, connections: Mapping[str, Connection], uuid: str) -> None:
        """connections: to both hosts, by their names."""
        self.connections, self.uuid = connections, uuid

    async def call(self, host: str, name: str, *args: Any, timeout_s: float | None = 20.0) -> Any:
        """A call about it to a host's libvirt."""
        return await self.connections[host].call(name, *args, on=("domain", self.uuid), timeout_s=timeout_s)

    async def state(self, host: str) -> str:
        """What a host's libvirt says of it, in a word. LibvirtError where it says nothing."""
        try:
            number, _ = await self.call(host, "state")
        except LibvirtError as error:
            if NONE in str(error):
                return GONE
            raise
        return _STATES[number]

    async def states(self) -> dict[str, str]:
        """The same of both hosts; SILENT where one gives no answer."""
        found = {}
        for host in self.connections:
            try:
                found[host] = await self.state(host)
            except LibvirtError:
                found[host] = SILENT
        return found

    async def destroy_all(self, name: str, over: Collection[str], limit_s: float, every_s: float) -> None:
        """Has both hosts' libvirts end it, as a power cut would, until each says what counts as over. WaitTimeout where
        one does not after so long."""

        async def gone() -> bool:
            left = [host for host, state in (await self.states()).items() if state not in over]
            for host in left:
                with contextlib.suppress(LibvirtError):
                    await self.call(host, "destroy")
            return not left

        await wait_until(gone, limit_s, f"libvirt has seen that {name} ended", every_s)

    async def place(self, destination: str) -> PostCheck:
        """Whether it runs on the destination, and on the other host there is no more of it than a definition."""
        found = await self.states()
        words = told(found)
        if SILENT in found.values():
            return PostCheck("unknown", words)
        here = active(found) == [destination]
        return PostCheck("pass" if here and found[destination] == "running" else "fail", words)


def active(states: Mapping[str, str]) -> list[str]:
    """The hosts on which it has a QEMU."""
    return [host for host, state in states.items() if state not in (GONE, SILENT, OFF)]


def told(states: Mapping[str, str]) -> str:
    """The states, for people."""
    return ", ".join(f"{host}: {state}" for host, state in states.items())
