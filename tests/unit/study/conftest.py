"""What tests of observing share."""

from collections.abc import Iterator

import pytest
from loopback import listening


@pytest.fixture
def port() -> Iterator[int]:
    with listening() as server:
        yield server.getsockname()[1]
