"""The relay passes on all that it was given, also by a server that resets its connection."""

import asyncio
import socket
import struct

import pytest

from migrascope.testbed import relay

RESET = struct.pack("ii", 1, 0)
ANSWER = b"HTTP/1.1 302 Found\r\n\r\n" + b"x" * 200_000


async def test_an_answer_before_a_reset_arrives_and_the_end_too() -> None:
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("127.0.0.1", 0)) as front:
        server.setblocking(False)
        front.setblocking(False)

        async def answer() -> None:
            there, _ = await loop.sock_accept(server)
            with there:
                await loop.sock_recv(there, 10)
                await loop.sock_sendall(there, ANSWER)
                await asyncio.sleep(0.05)
                there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

        async def ask() -> bytes:
            reader, writer = await asyncio.open_connection(*front.getsockname())
            writer.write(b"POST / HTTP/1.1\r\n\r\nand more than is read")
            found = await asyncio.wait_for(reader.read(-1), 10)
            writer.close()
            return found

        asking, answering = asyncio.create_task(ask()), asyncio.create_task(answer())
        client, _ = await loop.sock_accept(front)
        await asyncio.wait_for(relay._connect(client, "127.0.0.1", server.getsockname()[1]), 10)
        assert await asking == ANSWER
        await answering


def test_an_address_where_somebody_listens_is_not_free(monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int) -> None:
    monkeypatch.setattr(relay, "PORTS", {"horizon": unused_tcp_port})
    assert relay.free("127.0.0.1")
    with socket.create_server(("127.0.0.1", unused_tcp_port)):
        assert not relay.free("127.0.0.1")
