"""What Prometheus reads, by name and labels."""

from collections.abc import Sequence
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families as text_format

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(families: Sequence[Metric]) -> Samples:
    return {(item.name, frozenset(item.labels.items())): item.value for family in families for item in family.samples}


def named(found: Samples, name: str, **labels: str) -> float:
    """The only sample of that name that has these labels."""
    (value,) = [value for (key, having), value in found.items() if key == name and set(labels.items()) <= set(having)]
    return value


def in_file(path: Path) -> Samples:
    return samples(list(text_format(path.read_text(encoding="utf-8"))))
