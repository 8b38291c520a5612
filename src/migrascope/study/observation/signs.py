"""What is kept of an address beside its probes, for the signs of its blackouts."""

from collections import deque
from collections.abc import Iterable, Sequence

from migrascope.metrics.packets import Span
from migrascope.metrics.signs import TABLE, UNSEEN, Boot, Evidence, OnLink, Segment, Shown, shown
from migrascope.metrics.sliding import KEPT_NS

_MOST_ON_LINK = 64
_MOST_BOOTS = 120


class Beside:
    """The segments of the last minute, and the last of what the link and the machine say. Its memory does not grow."""

    def __init__(self, clock_unseen: str) -> None:
        """clock_unseen: why no connection is kept, empty where one is."""
        self._clock_unseen = clock_unseen
        self._segments: deque[Segment] = deque()
        self._macs: deque[OnLink] = deque(maxlen=_MOST_ON_LINK)
        self._announced: deque[OnLink] = deque(maxlen=_MOST_ON_LINK)
        self._boots: deque[Boot] = deque(maxlen=_MOST_BOOTS)

    def add(
        self, segments: Iterable[Segment], on_link: Sequence[OnLink], now_ns: int, boots: Iterable[Boot] = ()
    ) -> None:
        """What has come, in the order in which it came."""
        self._segments.extend(segments)
        while self._segments and self._segments[0][-1] < now_ns - KEPT_NS:
            self._segments.popleft()
        self._boots.extend(boots)
        for row in on_link:
            (self._macs if row.how in (TABLE, UNSEEN) else self._announced).append(row)

    def shown(self, over: Span) -> Shown:
        """What a blackout over the span (mono ns) shows."""
        on_link = [*self._macs, *self._announced]
        return shown(Evidence(list(self._segments), self._clock_unseen, on_link, list(self._boots)), over)
