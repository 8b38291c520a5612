"""A program that holds frames back: `delayline.py NEAR FAR SECONDS_FAR SECONDS_NEAR`.

It makes two taps in its network namespace. What the kernel sends into NEAR comes out of FAR after SECONDS_FAR, and what
it sends into FAR comes out of NEAR after SECONDS_NEAR, in order. TCP's data stay together as the kernel hands them on,
up to 64 KiB at once. It runs on the standard library alone, says "ready" and goes on until it is killed; the taps go
with it.
"""

import fcntl
import os
import select
import struct
import sys
import time
from collections import deque

_TUNSETIFF, _TUNSETOFFLOAD = 0x400454CA, 0x400454D0
_TAP, _NO_PI, _VNET_HDR = 0x0002, 0x1000, 0x4000
_CHECKSUM, _TSO4, _TSO6 = 0x01, 0x02, 0x04
_LARGEST = 65536 + 64
_AT_ONCE = 64
MOST_HELD = 256 * 2**20
"""Bytes that a direction holds; what comes beyond is lost, as in any queue."""


def tap(name: str) -> int:
    """The descriptor of a new tap that takes and gives TCP's data unsegmented. OSError where the kernel refuses."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _TAP | _NO_PI | _VNET_HDR))
    fcntl.ioctl(descriptor, _TUNSETOFFLOAD, _CHECKSUM | _TSO4 | _TSO6)
    return descriptor


class Line:
    """One direction: frames with the time at which each is due."""

    def __init__(self, source: int, sink: int, delay_s: float) -> None:
        self._source, self._sink, self._delay_s = source, sink, delay_s
        self._frames: deque[tuple[float, bytes]] = deque()
        self._held = 0

    def due(self) -> float | None:
        """When the next frame is due, on the monotonic clock."""
        return self._frames[0][0] if self._frames else None

    def take(self) -> None:
        """Takes in what has come."""
        for _ in range(_AT_ONCE):
            try:
                frame = os.read(self._source, _LARGEST)
            except OSError:  # nothing more, or the tap is down
                return
            if self._held + len(frame) <= MOST_HELD:
                self._held += len(frame)
                self._frames.append((time.monotonic() + self._delay_s, frame))

    def give(self) -> None:
        """Lets go what is due."""
        for _ in range(_AT_ONCE):
            if not self._frames or self._frames[0][0] > time.monotonic():
                return
            _, frame = self._frames.popleft()
            self._held -= len(frame)
            try:
                os.write(self._sink, frame)
            except OSError:  # a tap that is down: the frame is lost
                continue


def main() -> None:
    near, far = tap(sys.argv[1]), tap(sys.argv[2])
    lines = [Line(near, far, float(sys.argv[3])), Line(far, near, float(sys.argv[4]))]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        dues = [due for line in lines if (due := line.due()) is not None]
        wait = max(0.0, min(dues) - time.monotonic()) if dues else None
        select.select([near, far], [], [], wait)
        for line in lines:
            line.take()
            line.give()


if __name__ == "__main__":
    main()
