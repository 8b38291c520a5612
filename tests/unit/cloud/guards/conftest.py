"""A fake cloud, and what a client of it needs: a clock without waits, and what an instance boots."""

import pytest
from cloudlab import boot, clock, cloud, fake, quick

__all__ = ["boot", "clock", "cloud", "fake", "quick"]


@pytest.fixture(autouse=True)
def _quick(quick: None) -> None:
    """No test here waits as long as a real cloud lets it."""
