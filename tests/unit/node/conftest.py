"""What tests of cleaning share."""

import signal
from typing import Any

import pytest

from migrascope.node import cgroup
from migrascope.node.namespace import Namespace


@pytest.fixture
def hurt(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a clean-up would have killed or removed on this machine, which it does not do here."""
    done: list[Any] = []
    monkeypatch.setattr(signal, "pidfd_send_signal", lambda handle, number: done.append(handle))
    monkeypatch.setattr(Namespace, "delete", lambda space: done.append(space.name))
    monkeypatch.setattr(cgroup, "remove", done.append)
    return done
