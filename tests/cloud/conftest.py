"""The testbed that these tests share: MIGRASCOPE_TESTBED, which stays, or one of their own."""

import os
from collections.abc import Iterator

import pytest

from lab.cloud import Cloud
from lab.machine import migrascope
from needs import need_lab

NAME = os.environ.get("MIGRASCOPE_TESTBED", "")


@pytest.fixture(scope="package")
def cloud() -> Iterator[Cloud]:
    """A testbed that is up."""
    need_lab()
    name = NAME or f"cloud{os.getpid()}"
    up = migrascope("testbed", "up", "--name", name, timeout_s=1200)
    assert up.returncode == 0, up.stderr
    yield Cloud(name)
    if not NAME:
        assert migrascope("testbed", "down", "--purge", "--name", name).returncode == 0
