"""A program that competes: `stressor.py cpu` for a processor, `stressor.py memory BYTES` for memory,
`stressor.py udp ADDRESS BITS_PER_SECOND` for a link.

Runs on the standard library alone, says "ready" and goes on until it is killed.
"""

import ctypes
import itertools
import socket
import sys
import time

_PAYLOAD = bytes(1400)
_ON_THE_WIRE = 1442
_DISCARD = 9
_TURN_S = 0.002
_LATE_S = 0.02


def due(rate: float, since_s: float, done: int) -> int:
    """Datagrams to send now for `rate` a second; at most _LATE_S worth, the rest is given up."""
    return max(0, min(int(rate * since_s) - done, max(1, int(rate * _LATE_S))))


def udp(address: str, bits_per_second: float) -> None:
    """Datagrams to the discard port, which nobody reads."""
    rate = bits_per_second / 8 / _ON_THE_WIRE
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    start, done = time.monotonic(), 0
    while True:
        now = time.monotonic() - start
        count = due(rate, now, done)
        for _ in range(count):
            try:
                sender.sendto(_PAYLOAD, (address, _DISCARD))
            except OSError:  # a full queue, or a link that is down: what is lost is not made up for
                break
        done = max(done + count, int(rate * now) - int(rate * _LATE_S))
        time.sleep(_TURN_S)


def memory(size: int) -> None:
    """Holds so many bytes, which are there when it says "ready", and writes them all the time from then on."""
    held = ctypes.create_string_buffer(size)
    for turn in itertools.count(1):
        ctypes.memset(held, turn % 256, size)
        if turn == 1:
            ready()


def ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()


def main() -> None:
    if sys.argv[1] == "memory":
        memory(int(sys.argv[2]))
    ready()
    if sys.argv[1] == "udp":
        udp(sys.argv[2], float(sys.argv[3]))
    for _ in itertools.count():
        pass


if __name__ == "__main__":
    main()
