"""Which migrations of a domain of others are ours: written down before they are asked for, for those who come after a
run that was killed."""

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import UUID

from migrascope.model.problem import UsageProblem
from migrascope.node.lock import free
from migrascope.node.paths import STATE
from migrascope.store.atomic import write_json
from migrascope.store.document import read_object

_EARLY_S, _LATE_S = 2.0, 15.0
"""A job is the one that was asked for if it began so much before or after the request: libvirt prepares it first."""


@dataclass(frozen=True)
class Begun:
    """A migration that was asked for, or about to be, at wall_ns by this machine's clock. limit_ms: the downtime limit
    that the domain had before."""

    domain: str
    uuid: str
    source: str
    destination: str
    wall_ns: int
    limit_ms: int

    def is_job(self, elapsed_ms: int, now_ns: int) -> bool:
        """Whether a migration that has gone on for so long by now is this one."""
        after_s = (now_ns - self.wall_ns) / 1e9 - elapsed_ms / 1e3
        return -_EARLY_S <= after_s <= _LATE_S

    def ago(self, now_ns: int) -> str:
        """When it was asked for, for people."""
        return f"{max(0.0, (now_ns - self.wall_ns) / 1e9):.0f} s ago"


class Record:
    """What is written of one domain. folder: where, by default with root's other state or the user's own."""

    def __init__(self, uuid: str, folder: Path | None = None) -> None:
        self._uuid = str(UUID(uuid))
        self._folder = folder or _folder()
        self._path = self._folder / f"{self._uuid}.json"

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else of this machine migrates it meanwhile. UsageProblem where somebody does."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with free(self._lock) as holder:
            if holder is not None:
                raise UsageProblem(f"{holder} migrates this domain already\n  next: wait for it, or stop it")
            yield

    @property
    def _lock(self) -> Path:
        return self._folder / f"{self._uuid}.lock"

    def busy(self) -> str | None:
        """Who of this machine migrates it; None where nobody does."""
        if not self._lock.exists():
            return None
        with free(self._lock) as holder:
            return holder

    def begin(self, domain: str, source: str, destination: str, limit_ms: int) -> None:
        """A migration is about to be asked for."""
        self._folder.mkdir(parents=True, exist_ok=True)
        write_json(self._path, asdict(Begun(domain, self._uuid, source, destination, time.time_ns(), limit_ms)))

    def end(self) -> None:
        """It is over, and seen to be."""
        self._path.unlink(missing_ok=True)

    def left(self) -> Begun | None:
        """The migration that nobody saw the end of; None where there is none."""
        try:
            return Begun(**read_object(self._path))
        except (OSError, ValueError, TypeError):
            return None


def _folder() -> Path:
    if os.geteuid() == 0:
        return STATE / "hosts"
    home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local/state")
    return Path(home) / "migrascope" / "hosts"
