"""A packet socket with a ring that the kernel fills (packet(7), TPACKET_V3): frames with the kernel's own stamps."""

import ipaddress
import mmap
import select
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple, Self

from migrascope.probe.bpf import EQUAL, LOAD_HALF, LOAD_WORD, RETURN, assembled, attach

_SOL_PACKET, _RX_RING, _STATISTICS, _VERSION, _V3 = 263, 5, 6, 10, 2
_ETH_P_ALL, _ETH_P_IP, _ETH_P_IPV6 = 3, 0x0800, 0x86DD
BLOCK, BLOCKS, FRAME = 256 << 10, 32, 2048
RETIRE_MS = 50
"""A block is handed over when it is full or this old: the ring holds 1.6 s at least."""
_USER = 1
_HEAD = struct.Struct("@IIIIIIHH")
_KIND_AT = 58
_OUTGOING = 4


class Frame(NamedTuple):
    """One frame: the kernel's stamp (wall ns), its first bytes, its length, and whether this machine sent it."""

    time_ns: int
    data: memoryview
    wire: int
    sent: bool


def filter_program(addresses: list[str], snaplen: int) -> bytes:
    """Classic BPF: of each packet from or to one of these IPv4 and IPv6 addresses the first `snaplen` bytes, of others
    none."""
    packed = [ipaddress.ip_address(address).packed for address in addresses]
    four, six = ([each for each in packed if len(each) == size] for size in (4, 16))
    second = _matching(six, (22, 38), behind=0)
    first = _matching(four, (26, 30), behind=len(second) + 1)
    program = [
        (LOAD_HALF, 0, 0, 12),
        (EQUAL, 0, len(first), _ETH_P_IP),
        *first,
        (EQUAL, 0, len(second) - 1, _ETH_P_IPV6),
        *second,
        (RETURN, 0, 0, snaplen),
    ]
    return assembled(program)


def _matching(addresses: list[bytes], fields: tuple[int, int], *, behind: int) -> list[tuple[int, int, int, int]]:
    """Instructions that go on at the accepting one, which stands so many behind them, where one of the fields (offsets
    in a frame) holds one of these addresses, and refuse a packet else."""
    tests = [(at, address) for at in fields for address in addresses]
    width = len(addresses[0]) // 4 if addresses else 0
    length = 2 * width * len(tests) + 1
    program: list[tuple[int, int, int, int]] = []
    for at, address in tests:
        over = len(program) + 2 * width  # where the next test begins
        for word in range(width):
            here = len(program) + 2
            last = word == width - 1
            accepts = length + behind - here if last else 0
            value = int.from_bytes(address[4 * word : 4 * word + 4])
            program += [(LOAD_WORD, 0, 0, at + 4 * word), (EQUAL, accepts, over - here, value)]
    return [*program, (RETURN, 0, 0, 0)]


class Ring:
    """All that passes one interface of this network namespace and the filter. OSError where the kernel refuses.

    packets, drops: what the kernel handed over and what it had no room for, so far, after `count`.
    """

    def __init__(self, interface: str, program: bytes) -> None:
        self.packets = self.drops = 0
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.setsockopt(_SOL_PACKET, _VERSION, _V3)
        attach(self._socket, program)
        request = struct.pack("@7I", BLOCK, BLOCKS, FRAME, BLOCK // FRAME * BLOCKS, RETIRE_MS, 0, 0)
        self._socket.setsockopt(_SOL_PACKET, _RX_RING, request)
        self._ring = mmap.mmap(self._socket.fileno(), BLOCK * BLOCKS)
        self._socket.bind((interface, _ETH_P_ALL))
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN | select.POLLERR)
        self._next = 0

    def wait(self, seconds: float) -> None:
        """Until a block is ready, or that long. OSError when the interface is gone or down."""
        for _, happened in self._poll.poll(round(seconds * 1000)):
            if happened & select.POLLERR:
                error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if error:
                    raise OSError(error, "the interface ended")

    def block(self) -> Iterator[Frame]:
        """The frames of the next block that is ready; none if none is. Its memory goes back when all were taken."""
        start = self._next * BLOCK
        status, count, at = struct.unpack_from("@III", self._ring, start + 8)
        if not status & _USER:
            return
        view = memoryview(self._ring)
        at += start
        for _ in range(count):
            following, seconds, nanoseconds, captured, wire, _, mac, _ = _HEAD.unpack_from(self._ring, at)
            frame = view[at + mac : at + mac + captured]
            yield Frame(seconds * 10**9 + nanoseconds, frame, wire, self._ring[at + _KIND_AT] == _OUTGOING)
            frame.release()
            at += following
        view.release()
        struct.pack_into("@I", self._ring, start + 8, 0)
        self._next = (self._next + 1) % BLOCKS

    def count(self) -> tuple[int, int]:
        """(packets, drops) since the last call, from the kernel's own counters."""
        seen, drops, _ = struct.unpack("@III", self._socket.getsockopt(_SOL_PACKET, _STATISTICS, 12))
        self.packets += seen - drops
        self.drops += drops
        return seen - drops, drops

    def shut(self) -> None:
        """Nothing new comes from now on; what came is still there."""
        attach(self._socket, assembled([(RETURN, 0, 0, 0)]))

    def close(self) -> None:
        self._ring.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
