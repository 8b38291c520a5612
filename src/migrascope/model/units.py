"""Quantities as people write them ("300ms", "1gbit", "512MiB") and as the code keeps them: seconds, bit/s, bytes."""

import math
import re
from decimal import Decimal

_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?) *([A-Za-z/%]*)")
LONGEST = 40
"""Characters of a quantity at most: the longest exact writing of a number has fewer."""

DURATION = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
RATE = {"bit": 1.0, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9}
SIZE = {
    "B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9,
    "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30,
}  # fmt: skip
SHARE = {"%": 0.01}
BYTE_RATE = {f"{name}/s": factor for name, factor in SIZE.items()}


def _parse(text: str, units: dict[str, float], noun: str, example: str) -> float:
    text = text.strip()
    if len(text) > LONGEST:
        raise ValueError(f"{text[:LONGEST]!r}… is not a {noun}: it has {len(text)} characters")
    match = _QUANTITY.fullmatch(text)
    if match is None or match[2] not in units:
        if match is not None and float(match[1]) == 0 and not match[2]:
            return 0.0
        raise ValueError(f"{text!r} is not a {noun}: write a number and one of {', '.join(units)}, as in {example!r}")
    return float(Decimal(match[1]) * _decimal(units[match[2]]))


def _decimal(value: float) -> Decimal:
    return Decimal(repr(value))


def parse_duration(text: str) -> float:
    """Seconds of "300ms" or "5s"; ValueError names the units that exist."""
    return _parse(text, DURATION, "duration", "300ms")


def parse_rate(text: str) -> float:
    """Bits per second of "1gbit"; ValueError names the units that exist."""
    return _parse(text, RATE, "rate", "1gbit")


def parse_size(text: str) -> int:
    """Bytes of "512MiB"; ValueError names the units that exist."""
    return round(_parse(text, SIZE, "size", "512MiB"))


def parse_byte_rate(text: str) -> float:
    """Bytes per second of "40MB/s"; ValueError names the units that exist."""
    return _parse(text, BYTE_RATE, "rate of bytes", "40MB/s")


def parse_share(text: str) -> float:
    """0.05 of "5%"; ValueError says how it is written."""
    return _parse(text, SHARE, "share", "5%")


def _exact(value: float, units: dict[str, float]) -> str:
    exact = _decimal(value)
    base = min(units, key=lambda name: abs(math.log(units[name])))
    for name, factor in sorted(units.items(), key=lambda unit: -unit[1]):
        number = round(exact / _decimal(factor), 3)
        if number >= 1 and number * _decimal(factor) == exact:
            return f"{_plain(number)}{name}"
    return f"{_plain(exact)}{base}"


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def duration_text(seconds: float) -> str:
    """The shortest exact writing, which parse_duration reads back."""
    return _exact(seconds, DURATION)


def rate_text(bits_per_second: float) -> str:
    """The shortest exact writing, which parse_rate reads back."""
    return _exact(bits_per_second, RATE)


def share_text(share: float) -> str:
    """The exact writing in per cent, which parse_share reads back."""
    return f"{_plain(_decimal(share) / _decimal(0.01))}%"


def size_text(size: float) -> str:
    """The shortest exact writing in binary units, which parse_size reads back."""
    return _exact(size, {name: factor for name, factor in SIZE.items() if name == "B" or "i" in name})


def byte_rate_text(bytes_per_second: float) -> str:
    """The shortest exact writing in decimal units, which parse_byte_rate reads back."""
    return _exact(bytes_per_second, {name: factor for name, factor in BYTE_RATE.items() if "i" not in name})


def number_of(noun: str, count: float) -> str:
    """ "1 trial", "2 trials"."""
    return f"{count:g} {noun}{'' if count == 1 else 's'}"


def at_least_text(text: str, *, at_least: bool) -> str:
    """A number as text, marked where it is a lower bound."""
    return f"≥ {text}" if at_least else text


def human(value: float, unit: str) -> str:
    """A measured value for people, three significant digits: human(0.0213, "s") is "21.3 ms"."""
    scales = {
        "s": [(1.0, "s"), (1e-3, "ms"), (1e-6, "µs")],
        "B": [(1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")],
        "bit/s": [(1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s"), (1.0, "bit/s")],
        "B/s": [(1e9, "GB/s"), (1e6, "MB/s"), (1e3, "kB/s"), (1.0, "B/s")],
    }
    if unit == "ratio":
        return f"{100 * value:.3g} %"
    if unit not in scales:
        return f"{value:.6g}" if unit == "1" else f"{value:.3g} {unit}"
    if value == 0:
        return f"0 {scales[unit][0][1]}"
    for factor, name in scales[unit]:  # noqa: B007
        if abs(value) >= factor:
            break
    number = value / factor
    if abs(number) < 0.01:
        return f"{number:.3g} {name}"
    digits = max(0, 2 - math.floor(math.log10(abs(number))))
    return f"{number:.{digits}f} {name}"
