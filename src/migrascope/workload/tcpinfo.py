"""TCP_INFO of a socket: struct tcp_info of include/uapi/linux/tcp.h, as far as tcpi_segs_in (Linux 4.2)."""

import socket
import struct
from dataclasses import dataclass

# 8 bytes of state and options; 24 u32 from tcpi_rto to tcpi_total_retrans; 4 u64 from tcpi_pacing_rate to
# tcpi_bytes_received; tcpi_segs_out, tcpi_segs_in
_INFO = struct.Struct("=8B24I4Q2I")
_STATE, _RTT, _RTTVAR, _TOTAL_RETRANS = 0, 23, 24, 31
_BYTES_ACKED, _BYTES_RECEIVED, _SEGS_OUT, _SEGS_IN = 34, 35, 36, 37


@dataclass(frozen=True, slots=True)
class TcpInfo:
    """rtt and rttvar in us (smoothed, RFC 6298); the rest are totals of the connection. state as in tcp_states.h."""

    rtt_us: int
    rttvar_us: int
    bytes_received: int
    bytes_acked: int
    segs_out: int
    segs_in: int
    total_retrans: int
    state: int


def parse_tcp_info(data: bytes) -> TcpInfo:
    """From getsockopt's bytes. ValueError when the kernel gives less than is needed."""
    if len(data) < _INFO.size:
        raise ValueError(f"struct tcp_info has {len(data)} bytes here, {_INFO.size} are needed: Linux 4.2 or later")
    field = _INFO.unpack_from(data)
    return TcpInfo(
        rtt_us=field[_RTT],
        rttvar_us=field[_RTTVAR],
        bytes_received=field[_BYTES_RECEIVED],
        bytes_acked=field[_BYTES_ACKED],
        segs_out=field[_SEGS_OUT],
        segs_in=field[_SEGS_IN],
        total_retrans=field[_TOTAL_RETRANS],
        state=field[_STATE],
    )


def tcp_info(sock: socket.socket) -> TcpInfo:
    """Of a TCP socket in any state. OSError when it is closed."""
    return parse_tcp_info(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size))
