"""CPU time of a process on this machine."""

import time

_CPUCLOCK_SCHED = 2


def process_cpu_ns(pid: int) -> int:
    """CPU time of a process, all its threads: the kernel's clock for it, which is finer than /proc/PID/stat's ticks.
    OSError when there is no such process."""
    return time.clock_gettime_ns((~pid << 3) | _CPUCLOCK_SCHED)
