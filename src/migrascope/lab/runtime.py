"""What a trial asks of the machine itself, beside the lab: programs, and calls to the guest from where visitors are."""

import signal
import socket
from pathlib import Path
from typing import Any, Protocol

from migrascope.node.namespace import Namespace
from migrascope.node.process_spec import ProcessSpec


class Program(Protocol):
    """A program that runs beside an instance and records."""

    @property
    def pid(self) -> int: ...

    @property
    def ended(self) -> bool: ...

    def problem(self) -> str:
        """Why it does not run, in words."""

    async def ready(self, timeout_s: float) -> None:
        """Waits until it records. ProcessError where it does not."""

    def send(self, number: signal.Signals) -> None:
        """SIGUSR1: it sends nothing new, and records what still comes."""

    async def stop(self) -> None:
        """Ends it; it writes what it has."""


class Runtime(Protocol):
    """This machine, or the fake lab's world. client: the namespace where visitors are; None is this machine's own."""

    async def start(self, member: ProcessSpec, config: dict[str, Any], log: Path) -> Program:
        """Starts a program. config: the member's own, and where it records. log: where its words go."""

    async def request(
        self, client: Namespace | None, url: str, *, post: bool = False, timeout_s: float
    ) -> tuple[int, bytes]:
        """Status and body of an HTTP answer. OSError where there is none in time."""

    def free_port(self, client: Namespace | None, towards: str, kind: socket.SocketKind) -> tuple[str, int]:
        """The client's own address towards another one, and a port of that kind that is free there."""

    async def pinged(self, client: Namespace | None, address: str) -> bool:
        """Whether an address answers ICMP echo requests."""
