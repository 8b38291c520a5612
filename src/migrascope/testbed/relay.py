"""Relays connections to a loopback address of this machine into a testbed's controller, whose network is its own.

A program of its own, which outlives `testbed up`: it listens here and connects there, and ends with the controller's
namespace, when the testbed is taken down.
"""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
from pathlib import Path

from migrascope.model.problem import Problem
from migrascope.node.namespace import Namespace
from migrascope.node.sandbox import set_namespace

PORTS = {"horizon": 80, "identity": 5000, "console": 6080, "compute": 8774, "volume": 8776, "placement": 8778,
         "image": 9292, "network": 9696}  # fmt: skip


def free(address: str) -> bool:
    """Whether a relay could listen there."""
    try:
        for port in PORTS.values():
            socket.create_server((address, port)).close()
    except OSError:
        return False
    return True


def start(address: str, target: str, namespace: Namespace, log: Path) -> int:
    """Starts a relay and gives its pid when it listens on every port. Problem when it cannot."""
    how = json.dumps({"address": address, "target": target, "namespace": str(namespace.path)})
    with log.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "migrascope.testbed.relay", how],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=output, start_new_session=True,
        )  # fmt: skip
    assert child.stdout is not None
    said = child.stdout.readline()
    child.stdout.close()
    if said.strip() != b"ready":
        raise Problem(
            f"nothing can listen on {address}: {log.read_text(encoding='utf-8').strip()}\n"
            f"  next: ss -ltnp | grep {address}"
        )
    return child.pid


async def _pass_on(source: socket.socket, target: socket.socket) -> None:
    """Whatever has come is passed on, also where the sender's connection is reset right after it; then the end is."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError):
        while data := await loop.sock_recv(source, 65536):
            await loop.sock_sendall(target, data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


async def _connect(client: socket.socket, target: str, port: int) -> None:
    with client, socket.socket() as there, contextlib.suppress(OSError):
        client.setblocking(False)
        there.setblocking(False)
        await asyncio.get_running_loop().sock_connect(there, (target, port))
        await asyncio.gather(_pass_on(client, there), _pass_on(there, client))


async def _listen(server: socket.socket, target: str) -> None:
    server.setblocking(False)
    port, connections = server.getsockname()[1], set[asyncio.Task[None]]()
    while True:
        client, _ = await asyncio.get_running_loop().sock_accept(server)
        connection = asyncio.create_task(_connect(client, target, port))
        connections.add(connection)
        connection.add_done_callback(connections.discard)


async def _serve(address: str, target: str, namespace: str) -> None:
    listening = [socket.create_server((address, port)) for port in PORTS.values()]
    set_namespace(namespace)
    print("ready", flush=True)
    await asyncio.gather(*(_listen(server, target) for server in listening))


if __name__ == "__main__":
    try:
        asyncio.run(_serve(**json.loads(sys.argv[1])))
    except OSError as error:
        sys.exit(str(error))
