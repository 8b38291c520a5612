"""A guest that runs somewhere, as its host's libvirt sees it."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any


@dataclass(frozen=True)
class Running:
    """name: the domain's, or the server's. accelerator: kvm or tcg. memory_bytes: all that a migration sends;
    held_bytes: what its QEMU's process has of it, so at most this holds something. rates: MiB/s that became dirty,
    whole and rounded down, by the seconds over which that was sampled. pages: how many were looked at. busy: processors
    that it kept busy meanwhile, 1.0 for one."""

    name: str
    host: str
    accelerator: str
    memory_bytes: float
    held_bytes: float
    vcpus: int
    rates: Mapping[int, int]
    pages: int
    busy: float
    libvirt: str
    qemu: str

    @property
    def sampled_s(self) -> int:
        """How long it was sampled."""
        return sum(self.rates)

    @property
    def rate_error(self) -> float | None:
        """By which share the rate over the longest period may be off, with 95 %, since only so many pages were looked
        at; None where none of them changed. Normal approximation of a binomial share."""
        longest_s = max(self.rates)
        changed = self.rates[longest_s] * 2**20 * longest_s / self.memory_bytes
        if not changed:
            return None
        return 1.96 * sqrt(max(0.0, 1 - changed) / (changed * self.pages))

    def as_json(self) -> dict[str, Any]:
        """For programs, in base units."""
        rates = {str(period_s): rate * 2**20 for period_s, rate in self.rates.items()}
        return {**vars(self), "rates": rates, "sampled_s": self.sampled_s, "rate_error": self.rate_error}
