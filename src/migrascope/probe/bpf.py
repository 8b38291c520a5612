"""Classic BPF (Linux: Documentation/networking/filter.rst): programs that choose what a socket takes in."""

import ctypes
import socket
import struct
from collections.abc import Iterable

LOAD_WORD, LOAD_HALF, LOAD_BYTE, EQUAL, AT_LEAST, RETURN = 0x20, 0x28, 0x30, 0x15, 0x35, 0x06
LOAD_HALF_BEHIND, HEADER_LENGTH = 0x48, 0xB1
"""A half word behind X, and X = the length of the IPv4 header."""
_INSTRUCTION = struct.Struct("@HBBI")
_SO_ATTACH_FILTER = 26


def assembled(program: Iterable[tuple[int, int, int, int]]) -> bytes:
    """The program of these instructions (struct sock_filter each: code, jt, jf, k)."""
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in program)


def attach(taker: socket.socket, program: bytes) -> None:
    """From now on the socket takes in what the program lets through, in place of an earlier one."""
    code = ctypes.create_string_buffer(program, len(program))
    fprog = struct.pack("@HP", len(program) // _INSTRUCTION.size, ctypes.addressof(code))
    taker.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, fprog)
