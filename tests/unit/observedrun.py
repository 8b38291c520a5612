"""Runs whose machine is at a port of this one, and whose command is a line of shell."""

import asyncio
from pathlib import Path
from typing import Any

from migrascope.model.plan import Plan
from migrascope.model.schedule import schedule
from migrascope.store.recording import Recording
from migrascope.store.runfolder import RunFolder
from migrascope.study.labs.labs import Progress
from migrascope.study.plans import text_of
from migrascope.study.runs.run import execute
from migrascope.trial.observed import ObservedTrials


class Quiet:
    """Progress that nobody reads."""

    def __getattr__(self, _: str) -> Any:
        return lambda *_: None


PROGRESS: Progress = Quiet()


def plan_for(port: int, command: list[str], *, blocks: int = 1, **changes: Any) -> Plan:
    """A plan of short windows for a port of this machine."""
    seen = {"name": "vm", "address": "127.0.0.1", "way": "tcp", "port": port, "command": command, "pause": "0s"}
    return Plan.model_validate(
        {
            "name": "observe", "blocks": blocks, "lab": {"kind": "address"}, "observed": {**seen, **changes},
            "windows": {"before": "1s", "limit": "30s"}, "probes": {"echo_rate": 50},
            "visitors": {"new_rate": 0, "kept_rate": 0, "viewers": 0}, "verdict": {"ledger": 0},
        }
    )  # fmt: skip


def trial_of(folder: Path, plan: Plan) -> Recording:
    """The only trial of a run of the plan."""
    run = asyncio.run(execute(plan, folder, None, PROGRESS))
    (recording,) = run.recordings()
    return recording


def shell(line: str) -> list[str]:
    return ["/bin/sh", "-c", line]


async def one_trial(folder: Path, plan: Plan, say: Any = lambda _: None) -> Recording:
    run = RunFolder.create(folder / "runs", text_of(plan), {})
    opened = run.open_trial(1)
    facts = await ObservedTrials(plan, folder, say).run(schedule(plan)[0], opened)
    return run.seal_trial(opened, facts)
