"""Values of metrics that must be there."""

from migrascope.model.measured import Measured


def value(found: dict[str, Measured], key: str) -> float:
    got = found[key].value
    assert got is not None, (key, found[key].reason)
    return got
