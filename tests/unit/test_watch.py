"""What a trial waits for before it begins."""

from pathlib import Path

import pytest

from migrascope.store.spool import Spool
from migrascope.trial import watch
from migrascope.trial.watch import LedgerWatch


def test_a_ledger_is_waited_for_until_its_first_record(tmp_path: Path) -> None:
    one = LedgerWatch(tmp_path)
    assert not one.steady()
    with Spool(tmp_path, "ledger", source="collector", host="client", instance="vm-1", migration="m") as spool:
        spool.add(5, 1, "boot", 0, 1)
        spool.flush()
        assert one.steady()
        assert one.steady()


def test_a_ledger_that_nobody_hears_is_not_waited_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_LEDGER_NS", 0)
    assert LedgerWatch(tmp_path).steady()
