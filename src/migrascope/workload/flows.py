"""The TCP connections of visitors and viewers, watched from their opening to their closing: table tcp_info."""

import socket
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Self

import aiohttp

from migrascope.node.program import Program
from migrascope.store.spool import Spool
from migrascope.workload.tcpinfo import tcp_info

SAMPLE_S = 0.02
_FOREVER_S = 86_400.0


class FlowSocket(socket.socket):
    """A TCP socket that is recorded once more right before it closes, whoever closes it."""

    number = 0
    kind = ""
    connected = False
    closing: Callable[["FlowSocket"], None] | None = None

    def close(self) -> None:
        if self.closing is not None:
            self.closing(self)
            self.closing = None
        super().close()


class Flows:
    """The open flows of this process. Numbers count from 1 in the order of opening."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._open: dict[int, FlowSocket] = {}
        self._opened = 0

    def open(self, kind: str, family: int) -> FlowSocket:
        """A new TCP socket, recorded from now on."""
        flow = FlowSocket(family, socket.SOCK_STREAM)
        self._opened += 1
        flow.number, flow.kind, flow.closing = self._opened, kind, self._closing
        self._open[flow.number] = flow
        return flow

    def _closing(self, flow: FlowSocket) -> None:
        del self._open[flow.number]
        self._record(flow, closing=True)

    def sample(self) -> None:
        """One row for each open flow that is connected: one that is not has nothing to tell, and there may be many."""
        for flow in self._open.values():
            if flow.connected:
                self._record(flow, closing=False)

    def _record(self, flow: FlowSocket, *, closing: bool) -> None:
        now = time.monotonic_ns()
        info = tcp_info(flow)
        self._spool.add(
            now, flow.number, flow.kind, info.rtt_us, info.rttvar_us, info.bytes_received, info.bytes_acked,
            info.segs_out, info.segs_in, info.total_retrans, info.state, closing,
        )  # fmt: skip

    async def watch(self, program: Program) -> None:
        """Samples every 20 ms until the program ends, and has every spool of the program written in time."""
        async for _ in program.grid(SAMPLE_S, drain=False):
            self.sample()
            program.tick()


async def _connected(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: Any) -> None:
    context.trace_request_ctx.connected()


_TRACE = aiohttp.TraceConfig()
_TRACE.on_connection_create_end.append(_connected)
_TRACE.freeze()


class Lane:
    """An HTTP client with at most one connection at a time: kept over requests, or a new one for each.

    flow and connected_ns are those of the newest connection (0: none yet).
    """

    def __init__(self, flows: Flows, kind: str, *, kept: bool) -> None:
        self.flow = 0
        self.connected_ns = 0
        self._flows, self._kind = flows, kind
        self._socket: FlowSocket | None = None
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=1, socket_factory=self._open,
                **({"keepalive_timeout": _FOREVER_S} if kept else {"force_close": True}),
            ),
            headers={} if kept else {"Connection": "close"},
            skip_auto_headers=("User-Agent", "Accept-Encoding"),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(),
            trace_configs=[_TRACE],
        )  # fmt: skip

    def _open(self, address: tuple[Any, ...]) -> socket.socket:
        flow = self._flows.open(self._kind, address[0])
        self.flow, self.connected_ns = flow.number, 0
        self._socket = flow
        return flow

    def connected(self) -> None:
        """The newest connection is made."""
        self.connected_ns = time.monotonic_ns()
        if self._socket is not None:
            self._socket.connected = True

    def get(self, url: str, headers: dict[str, str] | None = None) -> Any:
        """aiohttp's context manager of a response; without any time limit of its own."""
        return self._session.get(url, headers=headers, trace_request_ctx=self, allow_redirects=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
