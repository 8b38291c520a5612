"""Published models beside ours, with the same five parameters, so that each can be fitted to the same trials.

They are of pre-copy alone and know one downtime limit, the last of its steps.
"""

from collections.abc import Callable
from dataclasses import dataclass

from migrascope.mechanism.copying import Course
from migrascope.mechanism.dirtying import Dirtying
from migrascope.mechanism.rules import HEADER, HORIZON_S, PAGE
from migrascope.predict import mechanism
from migrascope.predict.parameters import Parameters
from migrascope.predict.request import Request

_ROUNDS = 20_000
_LOOK_S = 1.0


@dataclass(frozen=True)
class Model:
    """A way to compute a course. source: where it is published."""

    name: str
    source: str
    course: Callable[[Request, Parameters], Course]


def constant_rate(request: Request, parameters: Parameters) -> Course:
    """Each round sends what became dirty in the one before at one rate: V, V rho, V rho^2, ... with rho the dirty rate,
    by its first second, over the link's. Stops when a round is no more than fits into the limit; rho of 1 or more
    never does."""
    copy = _Rounds(request, parameters)
    rate = copy.dirtying.within(_LOOK_S) / _LOOK_S
    return copy.run(lambda seconds: rate * seconds)


def gudkov(request: Request, parameters: Parameters) -> Course:
    """Each round sends D(t) of the round before; stops when a round would take no longer than the limit."""
    copy = _Rounds(request, parameters)
    return copy.run(copy.dirtying.within)


def nathan(request: Request, parameters: Parameters) -> Course:
    """Each round sends the pages that became newly dirty in the one before: at the rate of unique pages, by the first
    period that was sampled, up to the writable working set. Its third part, pages that Xen skips because they are dirty
    again, has nothing to act on: QEMU does not look ahead."""
    copy = _Rounds(request, parameters)
    rate = sum(each.rate_Bps for each in copy.dirtying.sets)
    return copy.run(lambda seconds: min(copy.dirtying.size, rate * seconds))


class _Rounds:
    """Rounds of which each sends what the one before left dirty, until one fits into the limit."""

    def __init__(self, request: Request, parameters: Parameters) -> None:
        self._request, self._parameters = request, parameters
        self._rate = request.sent_Bps(parameters.speed)
        behind_s = request.settings.connections * parameters.backlog_bytes / self._rate
        self._pause_s = parameters.pause_s + behind_s
        self.dirtying: Dirtying = request.guest.dirtying.times(parameters.dirty)

    def run(self, dirtied: Callable[[float], float]) -> Course:
        settings, parameters = self._request.settings, self._parameters
        limit_s, deadline_s = settings.limits[-1].limit_s, min(settings.deadline_s, HORIZON_S)
        share = 1 + HEADER / PAGE
        guest = self._request.guest
        held = max(guest.held_bytes, guest.dirtying.size)
        left = held * share + max(0.0, guest.memory_bytes - held) * (HEADER + 1) / PAGE
        now, data = parameters.lead_s, 0.0
        for number in range(1, _ROUNDS):
            seconds = left / self._rate
            if seconds <= limit_s:
                ended = now + seconds + self._pause_s
                if ended > deadline_s:
                    break
                return Course(True, ended, seconds + self._pause_s, data + left, number + 1)
            now, data, before = now + seconds, data + left, left
            left = dirtied(seconds) * share
            if now > deadline_s or left >= before:
                break  # a round that is no shorter than the one before is followed by another such
        return Course(False, None, None, data, number)


MODELS = (
    Model(
        "QEMU's rule",
        "QEMU, migration/migration.c and migration/ram.c, as of version 10",
        mechanism.course,
    ),
    Model(
        "constant rate",
        "Liu, Jin, Xu, Liao: Performance and energy modeling for live migration of virtual machines, HPDC 2011; "
        "Akoush, Sohan, Rice, Moore, Hopper: Predicting the performance of virtual machine migration, MASCOTS 2010",
        constant_rate,
    ),
    Model(
        "Gudkov",
        "Gudkov: migration: predict migration time, patches to qemu-devel, 2023 (never merged)",
        gudkov,
    ),
    Model(
        "Nathan",
        "Nathan, Bellur, Kulkarni: Towards a comprehensive performance model of virtual machine live migration, SoCC "
        "2015",
        nathan,
    ),
)
"""All that are compared, ours first."""
