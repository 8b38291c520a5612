"""What a browser's own player did: how long its video stood still, what it held, and whether the browser starved."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from migrascope.metrics.packets import NS, Span
from migrascope.metrics.rank import at_rank
from migrascope.metrics.windows import Windows
from migrascope.model.measured import Measured, missing
from migrascope.model.units import human
from migrascope.store.recording import Recording

EVENTS, SAMPLES, CPU, PROCESS = "browser_event", "browser", "process_cpu", "chromium"
UNITS = {
    "browser.stall_s": "s", "browser.stalls": "1", "browser.buffer_s": "s", "browser.least_buffer_s": "s",
    "browser.dropped_ratio": "ratio", "browser.late_p99_s": "s", "browser.cpu_ratio": "ratio",
    "browser.pace_ratio": "ratio",
}  # fmt: skip
DROPPED_RATIO = 0.1
LATE_S = 0.1
PACE_RATIO = 0.97
"""A browser that dropped more of its frames, whose timer was later, or that played slower where it did play, had less
CPU than it wanted."""


@dataclass(frozen=True)
class Still:
    """A time in which the video stood still, mono ns; until_ns: None where it did not go on. anew: the film had ended
    and began again. gave_up: what the player said when it went on no more; empty where it said nothing."""

    since_ns: int
    until_ns: int | None
    anew: bool
    gave_up: str = ""

    def touches(self, span: Span) -> bool:
        """Whether it reaches into a span."""
        return self.since_ns < span[1] and (self.until_ns is None or self.until_ns >= span[0])


def stills(events: pl.DataFrame) -> list[Still]:
    """Every time in which it stood still once it had played: from waiting, ended or error to the next playing."""
    found: list[Still] = []
    since: int | None = None
    played, anew, gave_up = False, False, ""
    for at, event, note in events.sort("mono_ns", maintain_order=True).select("mono_ns", "event", "note").rows():
        if event == "playing":
            if since is not None:
                found.append(Still(since, at, anew))
            played, since, anew = True, None, False
        elif event in ("waiting", "ended", "error") and played:
            since = at if since is None else since
            anew = anew or event == "ended"
            gave_up = note if event == "error" else gave_up
    return found if since is None else [*found, Still(since, None, anew, gave_up)]


def pace(samples: pl.DataFrame, still: list[Still]) -> float | None:
    """Seconds of media that it played a second, from the rows of `browser` that lie outside of these stills; None where
    it did not play. Where the film begins again nothing counts."""
    at, media = samples["mono_ns"].to_numpy(), samples["media_s"].to_numpy()
    moved = np.diff(media)
    playing = moved >= 0
    for stall in still:
        playing &= (at[1:] < stall.since_ns) | (at[:-1] > (at[-1] if stall.until_ns is None else stall.until_ns))
    took = float(np.diff(at)[playing].sum()) / NS
    return float(moved[playing].sum()) / took if took else None


def measure(recording: Recording, windows: Windows) -> dict[str, Measured]:
    """browser.*; of the time from the request to the recovery, and what the browser was given from before on."""
    why = _absent(recording, windows)
    if why is not None:
        return {key: missing(unit, EVENTS, why) for key, unit in UNITS.items()}
    assert windows.before is not None
    assert windows.during is not None
    until = max(windows.during[1], windows.switchover[1] if windows.switchover else 0)
    span = (windows.during[0], until)
    watched = windows.after[1] if windows.after else windows.during[1]
    samples = recording.table(SAMPLES).sort("mono_ns")
    return {
        **_stood(recording, span, watched),
        "browser.buffer_s": _buffer(samples, windows.before, "median"),
        "browser.least_buffer_s": _buffer(samples, span, "min"),
        **_given(recording, samples, (windows.before[0], until)),
    }


def warnings(recording: Recording, found: dict[str, Measured]) -> list[str]:
    """Sentences that advise: where the browser's player gave up, and where the browser starved. `found` holds
    browser.*."""
    said = [
        f"the browser's player gave up ({still.gave_up}): a visitor would load the page again"
        for still in stills(recording.table(EVENTS))
        if still.gave_up
    ]
    dropped, late = found["browser.dropped_ratio"].value or 0.0, found["browser.late_p99_s"].value or 0.0
    paced = found["browser.pace_ratio"].value
    slow = paced is not None and paced < PACE_RATIO
    if dropped > DROPPED_RATIO or late > LATE_S or slow:
        pace_words = "" if paced is None else f", it played at {human(paced, 'ratio')} of the pace"
        said.append(
            f"the browser starved: it dropped {human(dropped, 'ratio')} of its frames{pace_words}, and its timer was "
            f"up to {human(late, 's')} late (p99); where its video stood still, this machine may be why"
        )
    return said


def _absent(recording: Recording, windows: Windows) -> str | None:
    """Why nothing can be said; None where something can."""
    if not recording.trial.plan.get("visitors", {}).get("browser"):
        return "the plan has no browser (visitors.browser)"
    if recording.trial.factors.scenario == "none":
        return "the page of this scenario holds no video"
    if not recording.table(EVENTS).height:
        return "no browser recorded anything"
    if windows.before is None or windows.during is None:
        return "the trial has no window before or during"
    return None


def _stood(recording: Recording, span: Span, watched: int) -> dict[str, Measured]:
    """browser.stall_s and browser.stalls."""
    keys = ("browser.stall_s", "browser.stalls")
    touching = [still for still in stills(recording.table(EVENTS)) if still.touches(span)]
    if any(still.anew for still in touching):
        why = "the film ended and began again in the time of the migration"
        return {key: missing(UNITS[key], EVENTS, why) for key in keys}
    ended = all(still.until_ns is not None for still in touching)
    stood = sum((still.until_ns or max(watched, still.since_ns)) - still.since_ns for still in touching) / NS
    return {
        keys[0]: Measured(stood, "s", EVENTS, samples=len(touching)).censored(not ended),
        keys[1]: Measured(float(len(touching)), "1", EVENTS, samples=len(touching)),
    }


def _within(samples: pl.DataFrame, span: Span) -> pl.DataFrame:
    return samples.filter(pl.col("mono_ns").is_between(*span))


def _buffer(samples: pl.DataFrame, span: Span, how: str) -> Measured:
    held = _within(samples, span)["ahead_s"].to_numpy()
    if not len(held):
        return missing("s", SAMPLES, "the browser told nothing in that time")
    value = float(np.median(held) if how == "median" else held.min())
    return Measured(value, "s", SAMPLES, samples=len(held))


def _given(recording: Recording, samples: pl.DataFrame, span: Span) -> dict[str, Measured]:
    """browser.cpu_ratio, browser.dropped_ratio, browser.late_p99_s and browser.pace_ratio."""
    told = _within(samples, span)
    paced = pace(told, stills(recording.table(EVENTS))) if told.height else None
    return {
        **dict(_starved(told)),
        "browser.cpu_ratio": _cpu(recording, span),
        "browser.pace_ratio": missing("ratio", SAMPLES, "the video did not play in that time")
        if paced is None
        else Measured(paced, "ratio", SAMPLES, samples=told.height),
    }


def _starved(told: pl.DataFrame) -> Iterator[tuple[str, Measured]]:
    if told.height < 2:
        why = "the browser told nothing in that time"
        yield "browser.dropped_ratio", missing("ratio", SAMPLES, why)
        yield "browser.late_p99_s", missing("s", SAMPLES, why)
        return
    frames, dropped = (int(told[name][-1]) - int(told[name][0]) for name in ("frames", "dropped"))
    if frames > 0:
        yield "browser.dropped_ratio", Measured(dropped / frames, "ratio", SAMPLES, samples=frames)
    else:
        yield "browser.dropped_ratio", missing("ratio", SAMPLES, "no frame was decoded in that time")
    late = at_rank(told["late_ms"].to_numpy(), 99) / 1e3
    yield "browser.late_p99_s", Measured(late, "s", SAMPLES, samples=told.height)


def _cpu(recording: Recording, span: Span) -> Measured:
    rows = _within(recording.table(CPU).filter(pl.col("process") == PROCESS).sort("mono_ns"), span)
    if rows.height < 2:
        return missing("ratio", CPU, "the browser's CPU time was not counted twice in that time")
    took = (int(rows["mono_ns"][-1]) - int(rows["mono_ns"][0])) / NS
    used = float(rows["cpu_s"][-1]) - float(rows["cpu_s"][0])
    return Measured(used / took, "ratio", CPU, samples=rows.height)
