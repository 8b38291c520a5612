"""Metrics of an observation: probes, round trips and blackouts of each address."""

import time
from collections import Counter
from collections.abc import Callable, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from migrascope.metrics.sliding import RTT_EDGES_S, Tally
from migrascope.model.clock import clock_pair
from migrascope.model.observation import BackOff, Blackout, Event, OwnLateness, Target
from migrascope.study.exposition.histogram import Histogram, buckets
from migrascope.study.observation.observe import View

LABELS = ("target", "address", "kind")
BLACKOUT_EDGES_S = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_EVERY_S = 1.0
_KINDS = {"icmp-raw": "icmp", "icmp-ping": "icmp", "tcp": "tcp", "http": "http"}


class ObservationMetrics:
    """Made from an observation's events and views. publish: takes all metrics, once a second at most."""

    def __init__(self, publish: Callable[[Sequence[Metric]], None]) -> None:
        self._publish = publish
        self._views: Sequence[View] = ()
        self._published_s: float | None = None
        self._blackouts: dict[tuple[str, str], Histogram] = {}
        self._last: dict[tuple[str, str], Blackout] = {}
        self._last_pause: dict[tuple[str, str], tuple[float, float]] = {}
        self._connections: Counter[tuple[str, str, bool]] = Counter()
        self._back_offs: Counter[tuple[str, str]] = Counter()
        self._own: Counter[str] = Counter()
        self._own_s = 0.0

    def tell(self, event: Event) -> None:
        """Takes an event. A blackout that is not over has no length yet, and is in no histogram."""
        if isinstance(event, Blackout) and not event.at_least:
            key = event.name, event.address
            self._blackouts.setdefault(key, Histogram(BLACKOUT_EDGES_S)).add(event.seconds)
            self._last[key] = event
            if event.paused_s is not None and event.paused_bound_s is not None:
                self._last_pause[key] = event.paused_s, event.paused_bound_s
            if event.kept is not None:
                self._connections[*key, event.kept] += 1
        elif isinstance(event, BackOff):
            self._back_offs[event.name, event.address] += 1
        elif isinstance(event, OwnLateness):
            self._own["late" if event.seconds else "clock-step"] += 1
            self._own_s += event.seconds

    def show(self, views: Sequence[View]) -> None:
        """Publishes what the views show."""
        self._views, now = views, time.monotonic()
        if self._published_s is None or now - self._published_s >= _EVERY_S:
            self._published_s = now
            self._publish(self._metrics())

    def end(self) -> None:
        """Publishes the whole, once nothing more will come."""
        self._publish(self._metrics())

    def _metrics(self) -> list[Metric]:
        mono, wall = clock_pair()
        found = [(view.target, view.window.tally(mono)) for view in self._views]
        return [*_of_probes(found, wall - mono), *self._of_blackouts([target for target, _ in found]), *self._of_us()]

    def _of_blackouts(self, targets: Sequence[Target]) -> list[Metric]:
        lengths = HistogramMetricFamily(
            "migrascope_blackout_seconds", "Lengths of the blackouts that are over.", labels=LABELS
        )
        last = GaugeMetricFamily("migrascope_last_blackout_seconds", "How long the last blackout was.", labels=LABELS)
        bound = GaugeMetricFamily(
            "migrascope_last_blackout_bound_seconds", "Half-width of the last blackout's error.", labels=LABELS
        )
        asked = CounterMetricFamily(
            "migrascope_back_offs", "How often it asked to be left alone, by ICMP or HTTP.", labels=LABELS
        )
        kept, lost = (
            CounterMetricFamily(
                f"migrascope_connections_{word}", f"Blackouts over which the kept connection {what}.", labels=LABELS
            )
            for word, what in (("kept", "lasted"), ("lost", "was lost"))
        )
        pause = GaugeMetricFamily(
            "migrascope_last_guest_pause_seconds", "How long the guest's clock stood still, last time.", labels=LABELS
        )
        pause_bound = GaugeMetricFamily(
            "migrascope_last_guest_pause_bound_seconds", "Half-width of the last guest pause's error.", labels=LABELS
        )
        for target in targets:
            key = target.name, target.address
            kept.add_metric(_labels(target), self._connections[*key, True])
            lost.add_metric(_labels(target), self._connections[*key, False])
            if (paused := self._last_pause.get(key)) is not None:
                pause.add_metric(_labels(target), paused[0])
                pause_bound.add_metric(_labels(target), paused[1])
            asked.add_metric(_labels(target), self._back_offs[key])
            self._blackouts.setdefault(key, Histogram(BLACKOUT_EDGES_S)).into(lengths, _labels(target))
            if (event := self._last.get(key)) is not None:
                last.add_metric(_labels(target), event.seconds)
                bound.add_metric(_labels(target), event.bound_s)
        return [lengths, last, bound, kept, lost, pause, pause_bound, asked]

    def _of_us(self) -> list[Metric]:
        gaps = CounterMetricFamily(
            "migrascope_observer_gaps",
            "Silences of which nothing is known, because this machine sent nothing (late) or its clock was set "
            "(clock-step).",
            labels=["reason"],
        )
        for reason in ("late", "clock-step"):
            gaps.add_metric([reason], self._own[reason])
        words = "How long this machine sent nothing when it should have."
        return [gaps, CounterMetricFamily("migrascope_observer_late_seconds", words, self._own_s)]


def _labels(target: Target) -> list[str]:
    return [target.name, target.address, _KINDS[target.way]]


def _of_probes(found: Sequence[tuple[Target, Tally]], offset_ns: int) -> list[Metric]:
    """offset_ns: of the wall clock against the monotonic one."""
    counts: dict[str, tuple[str, Callable[[Tally], int]]] = {
        "sent": ("Probes that were sent.", lambda tally: tally.sent),
        "answered": ("Probes that were answered within 3 s.", lambda tally: tally.answered),
        "late": ("Answered probes whose round trip took over 100 ms.", lambda tally: tally.late),
        "lost": ("Probes that were not answered within 3 s.", lambda tally: tally.lost),
    }
    metrics: list[Metric] = []
    for name, (words, count) in counts.items():
        family = CounterMetricFamily(f"migrascope_probes_{name}", words, labels=LABELS)
        for target, tally in found:
            family.add_metric(_labels(target), count(tally))
        metrics.append(family)
    trips = HistogramMetricFamily("migrascope_round_trip_seconds", "Round trips of answered probes.", labels=LABELS)
    last = GaugeMetricFamily(
        "migrascope_last_reply_timestamp_seconds",
        "When the last reply came; it is not there before the first.",
        labels=LABELS,
    )
    rate = GaugeMetricFamily("migrascope_probe_rate", "Probes a second that are asked for.", labels=LABELS)
    for target, tally in found:
        trips.add_metric(_labels(target), buckets(RTT_EDGES_S, tally.rtt_bins), tally.rtt_sum_s)
        rate.add_metric(_labels(target), target.rate)
        if tally.last_ns is not None:
            last.add_metric(_labels(target), (tally.last_ns + offset_ns) / 1e9)
    return [*metrics, trips, last, rate]
