"""Requests at a stated rate, so that watching a thousand servers costs a cloud no more than watching one."""

import time
from collections.abc import Callable


class Pace:
    """At most `rate` requests a second: `take` waits for the turn of the next one. requests: how many there were."""

    def __init__(
        self, rate: float, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._gap, self._clock, self._sleep = 1 / rate, clock, sleep
        self._next = clock()
        self.requests = 0

    def take(self) -> None:
        wait = self._next - self._clock()
        if wait > 0:
            self._sleep(wait)
        self._next = max(self._next, self._clock()) + self._gap
        self.requests += 1
