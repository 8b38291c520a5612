"""A trial whose truths are known, and what is measured of it."""

import pytest
from faketrial import record

from migrascope.metrics.trial import Measurement, examine
from migrascope.store.recording import Recording


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return record(tmp_path_factory.mktemp("truth"))


@pytest.fixture(scope="session")
def seen(recording: Recording) -> Measurement:
    return examine(recording)
