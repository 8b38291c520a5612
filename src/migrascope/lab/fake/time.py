"""Virtual time: an event loop in which nothing is waited for, and the clock that it moves."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from migrascope.model.clock import kept_by

T = TypeVar("T")
NS = 1_000_000_000
WALL_OFFSET_NS = 1_750_000_000 * NS


class VirtualClock:
    """Both clocks of a world. now_ns: monotonic."""

    def __init__(self, now_ns: int) -> None:
        self.now_ns, self.offset_ns = now_ns, WALL_OFFSET_NS

    def mono_ns(self) -> int:
        return self.now_ns

    def wall_ns(self) -> int:
        return self.now_ns + self.offset_ns


class _Jump(selectors.DefaultSelector):
    """Where a loop would sleep until its next timer, its clock jumps there."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout == 0:
            return []  # work is to be done at once: the kernel is asked when there is none, as each call takes its time
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("virtual time stands still: no timer is set, and nothing else can happen")
        if not ready and timeout:
            self._clock.now_ns += max(1, round(timeout * NS))
        return ready


class _VirtualLoop(asyncio.SelectorEventLoop):
    """Its timers go by a virtual clock. Work for threads is done at once: time must not jump while one works."""

    def __init__(self, clock: VirtualClock) -> None:
        self._virtual = clock
        super().__init__(_Jump(clock))
        self._clock_resolution = 1 / NS

    def time(self) -> float:
        return self._virtual.now_ns / NS

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done


def run_virtually(clock: VirtualClock, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Runs a coroutine to its end in a loop of its own whose only time, and model.clock's, is the virtual clock's.

    Not inside a running loop: there it belongs into a thread. RuntimeError where it waits for what can never happen.
    """
    with kept_by(clock), asyncio.Runner(loop_factory=lambda: _VirtualLoop(clock)) as runner:
        return runner.run(work())
