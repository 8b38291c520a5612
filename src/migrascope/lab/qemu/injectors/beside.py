"""A program that competes: `beside.py cpu` with a processor, `beside.py udp ADDRESS BITS_PER_SECOND` with a link.

Runs on the standard library alone, says "ready" and goes on until it is killed.
"""

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


def main() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    if sys.argv[1] == "udp":
        udp(sys.argv[2], float(sys.argv[3]))
    for _ in itertools.count():
        pass


if __name__ == "__main__":
    main()
