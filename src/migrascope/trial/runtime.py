"""This machine as the runtime of a trial: programs are processes, and calls go through real sockets."""

import asyncio
import json
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp

from migrascope.node.namespace import Namespace
from migrascope.node.process import Process, Where, start
from migrascope.node.process_spec import ProcessSpec
from migrascope.node.route import own_address
from migrascope.probe.icmp import EchoSocket

_PINGS, _PING_EVERY_S = 10, 0.2


class MachineRuntime:
    """Nothing is kept between calls: everything belongs to the namespace that is named."""

    async def start(self, member: ProcessSpec, config: dict[str, Any], log: Path) -> Process:
        argv = [sys.executable, "-m", member.module, json.dumps(config)]
        return await start(member.source, argv, Where(member.namespace), log, piped=True)

    async def request(
        self, client: Namespace | None, url: str, *, post: bool = False, timeout_s: float
    ) -> tuple[int, bytes]:
        limit = aiohttp.ClientTimeout(total=timeout_s)
        connector = aiohttp.TCPConnector(socket_factory=_socket_factory(client), force_close=True)
        async with aiohttp.ClientSession(connector=connector, timeout=limit) as session:
            try:
                async with session.request("POST" if post else "GET", url) as answer:
                    return answer.status, await answer.read()
            except (aiohttp.ClientError, TimeoutError) as error:
                raise OSError(str(error) or "no answer in time") from error

    def free_port(self, client: Namespace | None, towards: str, kind: socket.SocketKind) -> tuple[str, int]:
        look = partial(_free_port, towards, kind)
        return look() if client is None else client.call(look)

    async def pinged(self, client: Namespace | None, address: str) -> bool:
        """One of ten echo requests in two seconds is enough."""
        opened = EchoSocket(address) if client is None else client.call(lambda: EchoSocket(address))
        with opened as echo:
            for seq in range(_PINGS):
                echo.send(echo.request(seq))
                await asyncio.sleep(_PING_EVERY_S)
                if echo.receive(_PINGS):
                    return True
        return False


MACHINE = MachineRuntime()


def _socket_factory(namespace: Namespace | None) -> Callable[[aiohttp.AddrInfoType], socket.socket]:
    """What makes sockets inside a namespace, to which they belong whoever uses them; None: in this machine's own."""

    def made(address: aiohttp.AddrInfoType) -> socket.socket:
        make = partial(socket.socket, *address[:3])
        sock = make() if namespace is None else namespace.call(make)
        sock.setblocking(False)
        return sock

    return made


def _free_port(towards: str, kind: socket.SocketKind) -> tuple[str, int]:
    own = own_address(towards)
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind((own, 0))
        port: int = taken.getsockname()[1]
        return own, port
