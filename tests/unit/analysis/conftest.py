"""Two runs of six blocks, of which the second pauses longer."""

import pytest
from tworuns import long_run, short_run

from migrascope.analysis.run import analyse
from migrascope.analysis.summary import Summary
from migrascope.store.runfolder import RunFolder


@pytest.fixture(scope="session")
def short() -> RunFolder:
    return short_run()


@pytest.fixture(scope="session")
def long() -> RunFolder:
    return long_run()


@pytest.fixture(scope="session")
def ours(short: RunFolder) -> Summary:
    return analyse(short)


@pytest.fixture(scope="session")
def theirs(long: RunFolder) -> Summary:
    return analyse(long)
