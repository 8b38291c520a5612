"""How long the report takes, and how large it is.

    .venv/bin/python benchmarks/report.py RUN

For a run of the default plan: goal 5 s and 3 MB. Then for a fake run of 200 trials: goal 30 s and 1 GB of memory.
"""

import resource
import subprocess
import sys
import time
from pathlib import Path

from common import folder, verdict
from migrascope.model.axes import Axes
from migrascope.model.plan import Plan
from migrascope.model.schedule import schedule
from migrascope.store.runfolder import RunFolder, find_run
from migrascope.study.labs.fake import FakeTrials
from migrascope.study.plans import text_of
from migrascope.study.runs.environment import environment, manifest

MANY = 200


def many() -> RunFolder:
    """A fake run of 200 trials."""
    plan = Plan(blocks=MANY // 4, axes=Axes())
    run = RunFolder.create(folder(), text_of(plan), manifest(1, "many", lab="fake", accelerator="none", qemu="none"))
    trials = FakeTrials(plan)
    for spec in schedule(plan):
        opened = run.open_trial(spec.number)
        run.seal_trial(opened, trials.run_now(spec, opened))
    return run


def timed(run: RunFolder) -> tuple[float, int, int]:
    """(seconds of `migrascope report`, its peak memory in bytes, size of report.html in bytes)."""
    begin = time.monotonic()
    subprocess.run([sys.executable, "-m", "migrascope", "report", str(run.path)], check=True, capture_output=True)
    seconds = time.monotonic() - begin
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return seconds, peak, (run.path / "report.html").stat().st_size


def main() -> None:
    here = environment()
    print(f"{here['cpu']}, {here['cores']} cores")
    run = find_run(Path("runs"), sys.argv[1] if len(sys.argv) > 1 else "-1")
    for name, made, limit_s in (("this run", run, 5.0), (f"{MANY} trials", many(), 30.0)):
        seconds, peak, size = timed(made)
        met = verdict(seconds <= limit_s and size <= 3e6 and peak <= 1e9)
        count = len(made.finished())
        print(f"{name}: {count} trials, {seconds:.1f} s, {peak / 1e6:.0f} MB, report.html {size / 1e6:.2f} MB: {met}")


if __name__ == "__main__":
    main()
