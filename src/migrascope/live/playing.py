"""How full a viewer's player is, by the model of player stall."""

import statistics

from migrascope.live.sample import NS


class Viewer:
    """The media of one viewer. The model of its player is that of player stall: it asks at the pace at which it plays,
    with a full buffer."""

    def __init__(self) -> None:
        self._references: list[float] = []
        self._next_s = 0.0

    def take(self, media_s: float, duration_s: float, done_ns: int, *, quiet: bool) -> None:
        """A segment that came whole. quiet: before the migration was asked for."""
        if quiet:
            self._references.append(done_ns - media_s * NS)
        self._next_s = max(self._next_s, media_s + duration_s)

    def level_s(self, now_ns: int, holds_s: float) -> float | None:
        """Seconds of media that the player still has; None before the first came."""
        if not self._references:
            return None
        due_ns = statistics.median(self._references) + self._next_s * NS
        return min(holds_s, max(0.0, holds_s - (now_ns - due_ns) / NS))
