"""How well a migration by qemuloop.py is foretold: from its traces, by a plan's terms."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from looptraces import GIGABIT_BPS, MIB, Trace

from migrascope.live.eta import Forecast, at_request
from migrascope.live.experience import Known
from migrascope.live.terms import Terms

SET = 128 * MIB
LINK_BPS = 1e9 / 8


def terms(write_Bps: float, **changes: Any) -> Terms:
    how = Terms(0.3, 60.0, False, None, None, write_Bps, SET if write_Bps else 0, LINK_BPS)
    return replace(how, **changes)


def learnt(write_Bps: float, held_mib: int = 100) -> Known:
    """What the plan's earlier trials told."""
    return Known(held_mib * MIB + (SET if write_Bps else 0), None, 0.01, GIGABIT_BPS)


def foretold(trace: Trace, how: Terms, known: Known) -> list[Forecast]:
    said = [at_request(how, known)]
    for sample in trace.samples:
        said.append(said[-1].then(sample, how, known))
    return said


def worst(said: Sequence[Forecast], took_s: float | None) -> float:
    """The largest error from half-time on, as a share of the whole time."""
    assert took_s is not None
    judged = [forecast for forecast in said if took_s / 2 <= forecast.at_s < took_s]
    assert judged
    return max(abs(forecast.end_s - took_s) / took_s if forecast.end_s is not None else 9.0 for forecast in judged)


def reasoned(said: Sequence[Forecast]) -> bool:
    ends = [(old.end_s, new.end_s, new.why) for old, new in pairwise(said)]
    return all(why or old is None or new is None or new <= old for old, new, why in ends)
