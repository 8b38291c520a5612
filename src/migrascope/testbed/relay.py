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
from migrascope.node.enter import set_namespace
from migrascope.node.namespace import Namespace

PORTS = {"horizon": 80, "identity": 5000, "console": 6080, "compute": 8774, "volume": 8776, "placement": 8778,
         "image": 9292, "network": 9696}  # fmt: skip


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


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


async def _serve(address: str, target: str, namespace: str) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = writer.get_extra_info("sockname")[1]
        with contextlib.closing(writer), contextlib.suppress(OSError):
            there, back = await asyncio.open_connection(target, port)
            with contextlib.closing(back):
                await asyncio.gather(_pass_on(reader, back), _pass_on(there, writer))

    listening = [socket.create_server((address, port)) for port in PORTS.values()]
    set_namespace(namespace)
    servers = [await asyncio.start_server(connected, sock=each) for each in listening]
    print("ready", flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    try:
        asyncio.run(_serve(**json.loads(sys.argv[1])))
    except OSError as error:
        sys.exit(str(error))
