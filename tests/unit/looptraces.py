"""What a poll of QEMU's monitor sees of a migration by qemuloop.py: what forecasts are tried on, one policy after the
other. Nothing here knows how an end is foretold."""

from dataclasses import dataclass
from typing import Any

from qemuloop import Loop, PagedGuest

from migrascope.live.sample import Sample, of_qemu

ASKED_S = 0.1
GIGABIT_BPS = 117.4e6
SETTLE_S = 0.03
MIB = 2**20


@dataclass(frozen=True)
class Trace:
    """samples: what was seen, the last that it is over. took_s: how long it took, None where it was cancelled."""

    samples: list[Sample]
    took_s: float | None


def traced(
    write_Bps: float, *, set_mib: int = 128, mib: int = 512, held_mib: int = 100, limit_s: float = 0.3,
    until_s: float = 15.0, link_Bps: float = GIGABIT_BPS, seed: int = 1, **loop: Any,
) -> Trace:  # fmt: skip
    """A guest of so many MiB that holds held_mib and writes to set_mib more, over a link; loop: what else the loop is
    told."""
    writers = [(set_mib, write_Bps)] if write_Bps else []
    guest = PagedGuest.of(mib, held_mib + (set_mib if write_Bps else 0), *writers, seed=seed)
    seen: list[Sample] = []

    def ask(run: Loop) -> None:
        if not seen or run.now >= seen[-1].at_s + ASKED_S:
            sample = of_qemu(run.query_migrate(), run.now)
            assert sample is not None
            seen.append(sample.beside(run.passes_began, None))

    run = Loop(guest, link_Bps, lambda now: 1000 * limit_s, until_s=until_s, seed=seed, at_turn=ask, **loop)
    result = run.run()
    if not result.ended:
        return Trace(seen, None)
    run.status = "completed"
    over = of_qemu(run.query_migrate(), result.time_s + SETTLE_S)
    assert over is not None
    return Trace([*seen, over], result.time_s + SETTLE_S)
