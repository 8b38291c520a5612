"""Two runs of six blocks, of which the second pauses longer."""

import pytest
from tworuns import plan, scripts

from fakerun import fake_run
from migrascope.analysis.run import analyse
from migrascope.analysis.summary import Summary
from migrascope.store.runfolder import RunFolder


@pytest.fixture(scope="session")
def short(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return fake_run(tmp_path_factory.mktemp("short"), plan(), scripts(0.2))


@pytest.fixture(scope="session")
def long(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return fake_run(tmp_path_factory.mktemp("long"), plan(policy=["xbzrle"]), scripts(0.3))


@pytest.fixture(scope="session")
def ours(short: RunFolder) -> Summary:
    return analyse(short)


@pytest.fixture(scope="session")
def theirs(long: RunFolder) -> Summary:
    return analyse(long)
