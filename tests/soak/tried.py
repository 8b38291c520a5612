"""What the fuzz tier tries: so many inputs of a seed, and what came of them, for the documents."""

import os
import random
import resource
import time
from collections import Counter
from collections.abc import Callable

from kept import Kept

MIB = 2**20


def seed() -> int:
    """MIGRASCOPE_SEED, or the time."""
    return int(os.environ.get("MIGRASCOPE_SEED") or time.time())


class Tried:
    """So many inputs, each of a generator of its own: `number` and seed make the same one again.

    what: what they are, in words. input: the present one, as a failure shows it; set by who makes it. longest_s: the
    processor time that one may take.
    """

    def __init__(self, what: str, number: int, longest_s: float) -> None:
        self.what, self.number, self.longest_s, self.seed = what, number, longest_s, seed()
        self.came: Counter[str] = Counter()
        self.slowest_s = 0.0
        self.input = ""
        self._before = _peak()

    def all(self, item: Callable[[random.Random, int], str]) -> None:
        """Calls it with a generator and the input's number; it gives what came of that in a word or two. AssertionError
        with the seed and the number where it raises, or takes too long."""
        for at in range(self.number):
            began = _used_s()
            try:
                self.came[item(random.Random(f"{self.seed} {at}"), at)] += 1
            except BaseException as error:
                raise AssertionError(f"{self._which(at)}: {error!r}") from error
            took = _used_s() - began
            self.slowest_s = max(self.slowest_s, took)
            assert took < self.longest_s, f"{self._which(at)}: {took:.1f} s of a processor"

    def _which(self, at: int) -> str:
        return f"MIGRASCOPE_SEED={self.seed}, {self.what}, input {at}, {self.input[:2000]!r}"

    @property
    def more_mib(self) -> float:
        """By how much this process's largest memory has grown since."""
        return (_peak() - self._before) / MIB

    def keep(self, kept: Kept) -> None:
        """Keeps and prints what was tried."""
        came = ", ".join(f"{count:,} {what}" for what, count in self.came.most_common())
        text = f"{self.number:,} {self.what}: {came}; the slowest took {self.slowest_s:.2f} s of a processor, "
        text += f"{self.more_mib:.0f} MiB more memory (seed {self.seed})"
        print(text)
        kept.write(text)


def _used_s() -> float:
    """What this process and its children that have ended have used: unlike the time, no other work changes it."""
    return sum(os.times()[:4])


def _peak() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
