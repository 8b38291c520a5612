"""Classic BPF (Linux: Documentation/networking/filter.rst): programs that choose what a socket takes in."""

import ctypes
import socket
import struct
from collections.abc import Iterable

LOAD_WORD, LOAD_HALF, LOAD_BYTE, EQUAL, AT_LEAST, RETURN = 0x20, 0x28, 0x30, 0x15, 0x35, 0x06
LOAD_HALF_BEHIND, HEADER_LENGTH = 0x48, 0xB1
"""A half word behind X, and X = the length of the IPv4 header."""
Instruction = tuple[int, int, int, int]
"""struct sock_filter: code, jt, jf, k."""
_INSTRUCTION = struct.Struct("@HBBI")
_SO_ATTACH_FILTER = 26
_ETHERNET, _IPV6, _ICMP6 = 14, 40, 58
"""Lengths of both headers, and what follows the second."""


def icmp6(kind: int, most: int) -> tuple[Instruction, ...]:
    """The end of a program, for a frame that is of IPv6: the first bytes, so many, of messages of ICMPv6 of a kind; of
    others none. It is six instructions long; the fifth takes any frame, the sixth none."""
    return (
        (LOAD_BYTE, 0, 0, _ETHERNET + 6),
        (EQUAL, 0, 3, _ICMP6),
        (LOAD_BYTE, 0, 0, _ETHERNET + _IPV6),
        (EQUAL, 0, 1, kind),
        (RETURN, 0, 0, most),
        (RETURN, 0, 0, 0),
    )


def assembled(program: Iterable[Instruction]) -> bytes:
    """The program of these instructions."""
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in program)


def attach(taker: socket.socket, program: bytes) -> None:
    """From now on the socket takes in what the program lets through, in place of an earlier one."""
    code = ctypes.create_string_buffer(program, len(program))
    fprog = struct.pack("@HP", len(program) // _INSTRUCTION.size, ctypes.addressof(code))
    taker.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, fprog)
