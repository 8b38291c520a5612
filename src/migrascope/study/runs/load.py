"""The load of a run: found before its first trial, kept for the machine, or another run's."""

import contextlib
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from migrascope.model.family import SECOND
from migrascope.model.load import LEAST_RATE, PROCESSOR_MOST, PROCESSOR_SHARE, Load
from migrascope.model.plan import Plan
from migrascope.node.paths import STATE
from migrascope.store.atomic import write_json
from migrascope.store.document import read_object
from migrascope.store.recording import TrialFacts
from migrascope.store.runfolder import RunFolder
from migrascope.study.labs.labs import Progress, Up
from migrascope.study.runs.environment import environment
from migrascope.trial.fit import heaviest
from migrascope.workload.search import conclude

KEPT = STATE / "loads.json"
SEARCH_S = 30.0
"""About how long a search takes, with the boot of its guest."""
_MOST_KEPT = 50
_LIGHT = 0.6
"""A kept load with which a guest uses less than this part of what it may is found again by the next run."""
_MACHINE = ("cpu", "cores", "memory_bytes", "kernel")


class KeptLoads:
    """Loads that were found on this machine, each for a lab, an image and a plan's demands."""

    def __init__(self, path: Path = KEPT) -> None:
        self._path = path

    def _all(self) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            return read_object(self._path)
        return {}

    def get(self, key: str) -> Load | None:
        """None where there is none, one that another version wrote, or one that is more than what was tried then allows
        by today's rules."""
        with contextlib.suppress(KeyError, ValueError):
            kept = Load.from_json(self._all()[key])
            tried = [attempt for attempt in kept.tried if attempt.viewers == kept.tried[-1].viewers]
            if kept.fits is not None and kept.fits <= conclude(tried).rate:
                return replace(kept, how="kept")
        return None

    def put(self, key: str, load: Load) -> None:
        """Keeps it; the oldest goes where there are many."""
        others = {name: kept for name, kept in self._all().items() if name != key}
        newest = list(others.items())[-_MOST_KEPT + 1 :]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self._path, {**dict(newest), key: load.as_json()})

    def drop(self, key: str) -> None:
        """Forgets one that no longer fits."""
        everything = self._all()
        if everything.pop(key, None) is not None:
            write_json(self._path, everything)


def key_of(plan: Plan, facts: dict[str, Any]) -> str:
    """What a found load depends on: the machine, the lab and its guest, and what visits and observes it."""
    cell, machine = heaviest(plan), environment()
    depends = {
        **{name: facts.get(name) for name in ("lab", "accelerator", "qemu", "guest")},
        **{name: machine[name] for name in _MACHINE},
        "cloud": plan.cloud.name,
        **({"hosts": plan.libvirt.hosts} if plan.libvirt.hosts else {}),
        "scenario": cell.scenario,
        "cache": cell.cache,
        "vcpus": cell.vcpus,
        "memory": cell.memory_bytes,
        "probes": plan.probes.model_dump(exclude={"dirty"}),
        "visitors": plan.visitors.model_dump(exclude={"live_buffer", "file_buffer"}),
        "ledger": plan.verdict.ledger,
        **({"families": plan.families} if SECOND in plan.families else {}),
    }
    return json.dumps(depends, sort_keys=True)


@dataclass(frozen=True)
class Chooser:
    """Chooses the load of a run on a lab that is up."""

    plan: Plan
    up: Up
    progress: Progress
    kept: KeptLoads

    @property
    def key(self) -> str:
        """Under which this machine keeps it."""
        return key_of(self.plan, self.up.facts)

    async def choose(self, given: Load | None = None) -> Load:
        """given: another run's load, which is taken as it is. Problem where this machine is too slow for any."""
        load = given if given is not None else self.plan.full_load()
        if self._searches(load):
            found = self.kept.get(self.key) or await self.find()
            if given is None and self.plan.visitors.fits:
                load = found
            else:
                load = replace(load, serves=found.serves, fits=found.fits)
                self._warn(load)
        if load.new_rate or load.kept_rate:
            self.progress.step(load.words() + _SOURCES[load.how])
        return load

    def _searches(self, load: Load) -> bool:
        """Whether anything is to be found: not for fleets and scripts, where nobody observes, nor for numbers that any
        machine must bear; and others' clouds are asked for no more than the plan says."""
        if self.up.fit is None or self.plan.axes.probes == ["none"]:
            return False
        if self.plan.visitors.fits and load.how != "run":
            return True
        return not self.plan.foreign and max(load.new_rate, load.kept_rate) > LEAST_RATE

    async def find(self) -> Load:
        """Searches, and keeps what was found."""
        assert self.up.fit is not None
        began = time.monotonic()
        found = await self.up.fit(self.plan)
        self.kept.put(self.key, found)
        self.progress.step(f"found in {time.monotonic() - began:.0f} s what load fits")
        return found

    def _warn(self, load: Load) -> None:
        most = max(load.new_rate, load.kept_rate)
        if load.fits is not None and load.fits < most:
            self.progress.step(
                f"{most:g} visits/s of a kind are more than fits: {load.fits:.0f} would, for this guest serves "
                f"{load.serves or load.fits:.0f}; the figures will show the load, too"
            )

    def outgrown(self, load: Load, facts: TrialFacts) -> bool:
        """Whether a load that was found is too heavy for a run's first trial. It is forgotten then, and so is one that
        was kept and is far too light: it was found while other work took the machine."""
        busy = facts.facts.get("guest_busy")
        if load.how not in ("kept", "found") or facts.facts.get("declared_load"):
            return False
        heavy = facts.status == "overloaded" or (busy is not None and busy > PROCESSOR_MOST)
        light = load.how == "kept" and busy is not None and busy < _LIGHT * PROCESSOR_SHARE
        if heavy or (light and max(load.new_rate, load.kept_rate) < self.plan.visitors.most):
            self.kept.drop(self.key)
        return heavy


_SOURCES = {
    "found": "",
    "kept": " (found on this machine before)",
    "plan": " (the plan's)",
    "run": " (another run's)",
    "full": "",
}


def another_runs(run: RunFolder) -> Load:
    """The load that a run had, for another one. One that was made before loads were found has its plan's numbers."""
    found = run.load() or run.plan().full_load()
    return replace(found, how="run", tried=())
