"""A guest that is asked for more than it serves, and a machine that loses a core in the middle of a run."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.booted import Booted
from lab.machine import COMMAND, LIGHT, json_of, migrascope
from migrascope.model.steady import IN_TIME_NS
from migrascope.node.process_spec import ProcessSpec
from migrascope.node.wait import wait_until
from migrascope.store import spool
from migrascope.store.runfolder import RunFolder
from migrascope.trial.processes import Processes

pytestmark = pytest.mark.lab
MUCH = 500
"""The most visits a second of each kind that a plan may ask for: several times what one core serves."""
FLOOD = 2000
"""Visits a second of each kind that an emulated guest serves on no machine, however fast."""


@pytest.mark.asyncio(loop_scope="module")
async def test_a_guest_recovers_as_soon_as_the_load_is_gone(booted: Booted, tmp_path: Path) -> None:
    if booted.lab.facts["accelerator"] == "kvm":
        pytest.skip("a guest on hardware serves more than this asks for")
    processes = Processes(tmp_path, tmp_path, "vm-1", "")
    url = f"http://{booted.instance.address}/none.html"
    config = {"url": url, "seed": 1, "new_rate": FLOOD, "kept_rate": FLOOD, "kept_connections": 10}
    visits = tmp_path / "visit@visitors.jsonl"

    async def more_than_it_serves() -> bool:
        _, rows = spool.read(visits)
        return sum("not served" in row[-1] for row in rows) > FLOOD

    async def prompt() -> bool:
        asked = time.monotonic_ns()
        await booted.call.ask("/load")
        return time.monotonic_ns() - asked < IN_TIME_NS

    try:
        await processes.start(
            [ProcessSpec("visitors", "migrascope.workload.visitors", "client", booted.lab.client, config)]
        )
        await wait_until(more_than_it_serves, 60, "the guest is asked for more than it serves", 0.2)
    finally:
        await processes.stop()
    await wait_until(prompt, 5, "the guest answers in time again")


def test_a_plan_that_asks_for_too_much_is_told_so(tmp_path: Path) -> None:
    """On one core, which the guest shares with its visitors: a fast machine's guest could serve what a plan may ask."""
    plan = tmp_path / "plan.toml"
    plan.write_text(
        'name = "much"\nblocks = 1\n[lab]\naccelerator = "tcg"\n[axes]\nscenario = ["none"]\n[windows]\nbefore = "2s"\n'
        f"[probes]\ndirty = false\necho_rate = 50\n[visitors]\nnew_rate = {MUCH}\nkept_rate = {MUCH}\nviewers = 1\n"
    )
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        done = migrascope("run", str(plan), "--runs", str(tmp_path / "runs"))
    finally:
        os.sched_setaffinity(0, cores)
    run = RunFolder(tmp_path / "runs/latest")
    (recording,) = run.recordings()
    assert recording.trial.status == "overloaded", recording.trial.reason
    assert re.fullmatch(
        rf"this machine serves \d+ visits/s, the plan asks for {2 * MUCH}", recording.trial.reason or ""
    )
    assert done.returncode != 0
    assert f"{MUCH} visits/s of a kind are more than fits" in done.stderr
    first = done.stdout.strip().splitlines()[0]
    assert first.startswith("1 of 1 trials failed for the machine's sake: this machine serves")
    assert [cell["verdicts"] for cell in json_of("show", str(run.path))["cells"]] == [{"unknown": 1}]


@pytest.mark.soak
def test_a_core_is_taken_away_in_the_middle_of_a_run(tmp_path: Path) -> None:
    """What ran before stays; what runs then is carried out, or says that the machine could not; nothing is lost."""
    plan, runs = tmp_path / "plan.toml", tmp_path / "runs"
    plan.write_text(f'name = "core"\nblocks = 2\n[axes]\nscenario = ["none"]\n[windows]\nbefore = "2s"\n{LIGHT}')
    run = subprocess.Popen([*COMMAND, "run", str(plan), "--runs", str(runs)], stdout=subprocess.DEVNULL)
    busy: subprocess.Popen[bytes] | None = None
    try:
        while run.poll() is None and not (runs / "latest/trials/2.open").exists():
            time.sleep(0.05)
        core = min(os.sched_getaffinity(0))
        script = f"import os; os.sched_setaffinity(0, [{core}])\nwhile True: pass"
        busy = subprocess.Popen([sys.executable, "-c", script])
        run.wait(300)
    finally:
        for process in filter(None, (busy, run)):
            process.terminate()
            process.wait(60)
    first, second = RunFolder(runs / "latest").recordings()
    assert first.trial.status == "ok", first.trial.reason
    assert second.trial.status in ("ok", "overloaded"), second.trial.reason
    (cell,) = json_of("show", str(runs / "latest"))["cells"]
    assert cell["verdicts"] == ({"intact": 2} if second.trial.status == "ok" else {"intact": 1, "unknown": 1})
