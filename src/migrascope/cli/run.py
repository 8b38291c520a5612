"""`run` and `plan`: what makes recordings, and what says beforehand what it will do."""

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from textwrap import wrap
from typing import Annotated

from cyclopts import Parameter

from migrascope.cli.console import EXIT_INTERRUPTED, Json, Runs, interruptible, stderr, stdout
from migrascope.cli.metrics import Metrics, counted, exposing
from migrascope.cli.output import print_json
from migrascope.cli.owner import hand_over_run, made_in, need_ours
from migrascope.cli.progress import ConsoleProgress
from migrascope.cli.results import interrupted, table_and_report
from migrascope.cli.window import Window, on_terminal
from migrascope.lab.hosts.origin import origin_of
from migrascope.lab.hosts.way import need_way6
from migrascope.model.plan import Plan
from migrascope.model.problem import Problem, RunStops, UsageProblem
from migrascope.model.schedule import TrialSpec, in_second_part, schedule
from migrascope.model.units import human, number_of
from migrascope.store.runfolder import RunFolder, find_run
from migrascope.study.doctor import disturbances
from migrascope.study.doctor.machine import blocking, browser, ipv6, problems_of
from migrascope.study.labs.images import prepare
from migrascope.study.labs.labs import Progress
from migrascope.study.plans import Options, load
from migrascope.study.runs.expected import boot_of, expected_s
from migrascope.study.runs.load import SEARCH_S, another_runs
from migrascope.study.runs.run import execute, finished, resume

BYTES_PER_TRIAL = 1_000_000
Quick = Annotated[bool, Parameter(negative="", help="Each cell once, with short windows.")]
Lab = Annotated[str | None, Parameter(help="Another lab than the plan's: qemu, libvirt, openstack or fake.")]
Hosts = Annotated[
    str | None,
    Parameter(help="Two libvirt hosts of yours, as in qemu+ssh://a/system,qemu+ssh://b/system: see --domain, --url."),
]
Domain = Annotated[str | None, Parameter(help="With --hosts: the domain there that is migrated to and fro.")]
Url = Annotated[str | None, Parameter(help="With --hosts: a page of that domain; it is visited, its host is probed.")]
CloudName = Annotated[str | None, Parameter(help="A cloud in clouds.yaml; without it OpenStack is the testbed.")]
Instances = Annotated[
    int | None, Parameter(help="Migrate so many from one host together, and one alone to compare; see [fleet].")
]


def need_lab(plan: Plan) -> None:
    """Problem, with every problem, if this machine cannot run the plan's lab, or bring about what disturbs it."""
    if problems := _missing(plan):
        what = {"qemu": "the QEMU lab", "libvirt": "the libvirt lab"}.get(plan.lab.kind, "the plan")
        raise Problem(f"this machine cannot run {what}:\n  " + "\n  ".join(problems))


def _missing(plan: Plan) -> list[str]:
    if plan.embedded:
        return problems_of(plan)
    on_testbed = plan.lab.kind == "openstack" and not plan.cloud.name
    without = [words.replace("\n  next: ", "; ") for words in _no_way(plan)]
    return blocking([*browser(plan), *ipv6(plan)]) + without + (disturbances.problems_of(plan) if on_testbed else [])


def _no_way(plan: Plan) -> Iterator[str]:
    """Why this machine is out of reach of a guest on hosts of others, or that out of its reach, as far as can be known
    before it is there."""
    guest = plan.libvirt.guest
    if guest is None:
        return
    if plan.streamed:
        try:
            origin_of(guest)
        except Problem as error:
            yield str(error)
    if guest.address6:
        try:
            need_way6(guest)
        except Problem as error:
            yield str(error)


def _listens(plan: Plan) -> list[str]:
    """Where a run of the plan listens on this machine itself, for others than its own processes, in words."""
    by = "the live stream, by nginx as nobody"
    if plan.lab.kind == "openstack" and plan.cloud.name and plan.cloud.origin and not plan.cloud.visitors:
        return [f"{plan.cloud.origin}:80 ({by}, for all who reach this machine)"]
    if plan.libvirt.guest is None or not plan.streamed:
        return []
    try:
        address, port = origin_of(plan.libvirt.guest)
    except Problem:  # which is missing
        return []
    return [f"{address}:{port} ({by}, while a trial runs, for its guest alone)"]


def run(
    plan: str | None = None,
    /,
    *,
    quick: Quick = False,
    lab: Lab = None,
    cloud: CloudName = None,
    instances: Instances = None,
    hosts: Hosts = None,
    domain: Domain = None,
    url: Url = None,
    resume_: Annotated[str | None, Parameter(name="--resume", help="Finish this run instead of a new one.")] = None,
    load_from: Annotated[
        str | None, Parameter(name="--load-from", help="Visits and viewers of this run, so that both are comparable.")
    ] = None,
    watch: Annotated[bool, Parameter(negative="", help="Show the run on the terminal as it happens.")] = False,
    metrics: Metrics = None,
    runs: Runs = Path("runs"),
) -> int:
    """Runs a plan: its trials, the table, and report.html.

    Parameters
    ----------
    plan
        The name of a built-in plan or a TOML file; without it the plan website, or with --hosts six migrations.
    """
    shown = Window() if watch and on_terminal(sys.stdin, sys.stdout, os.environ) else None
    progress = ConsoleProgress(stderr(), (lambda: False) if shown is None else shown.is_open)
    if watch and shown is None:
        progress.step("--watch: there is no terminal to show the run on; it goes on without")
    folder = find_run(runs, resume_) if resume_ is not None else None
    if folder is not None and load_from is not None:
        raise UsageProblem("--resume goes on with the load that the run began with: leave --load-from out")
    borrowed = another_runs(find_run(runs, load_from)) if load_from is not None else None
    options = Options(quick, lab, cloud, instances, hosts, domain, url)
    loaded = folder.plan() if folder is not None else load(_chosen(plan, hosts), options)
    if folder is not None:
        need_ours(folder.path, loaded)
    made = made_in(runs)
    written = [folder] if folder is not None else []

    def begun(run: RunFolder) -> None:
        written.append(run)
        made(run)
        if shown is not None:
            shown.open(run.path)

    needs_lab = loaded.embedded and not (folder is not None and finished(folder))
    if needs_lab:
        need_lab(loaded)

    async def work(told: Progress) -> int:
        images = await prepare(progress.step, progress.waiting) if needs_lab else None
        try:
            if folder is not None:
                if shown is not None:
                    shown.open(folder.path)
                done = await resume(folder, images, told)
            else:
                ready = await _on_hosts(loaded, progress) if loaded.libvirt.hosts else loaded
                done = await execute(ready, runs, images, told, borrowed, begun)
        finally:
            if shown is not None:
                shown.close()
            progress.give()
        code = table_and_report(done, stdout())
        return EXIT_INTERRUPTED if loaded.their_domain and interrupted(done) else code

    try:
        with exposing(metrics, progress.step) as exposition:
            code = interruptible(work(counted(progress, exposition, folder)))
        if code == EXIT_INTERRUPTED and written:
            progress.step(_left_by_interrupt(written[0]))
        return code
    except RunStops as error:
        if not written:
            raise
        raise RunStops(f"{error}\n  then: migrascope run --resume {written[0].path}") from error
    finally:
        for run_folder in written:
            hand_over_run(run_folder.path)


def _left_by_interrupt(run: RunFolder) -> str:
    """What an interrupted run has, and how it is gone on with."""
    done, planned = len(run.finished()), len(schedule(run.plan()))
    if done == planned:
        return f"interrupted; nothing is missing: migrascope show {run.path}"
    kept = f"{done} of {number_of('trial', planned)} done and kept"
    return f"interrupted; {kept}; to go on: migrascope run --resume {run.path}"


def _chosen(plan: str | None, hosts: str | None) -> str | None:
    """The name of a plan; None for one that says nothing but what the command line does."""
    return plan if plan is not None or hosts is not None else "website"


async def _on_hosts(plan: Plan, progress: ConsoleProgress) -> Plan:
    """The plan, of a domain of theirs with how it is watched, after all that it needs was asked. Problem, with all that
    is missing."""
    from migrascope.study.doctor.hosts import hosts_checks
    from migrascope.study.observation.observed import with_their_domain

    progress.waiting("asking both hosts")
    asked = await hosts_checks(plan.libvirt, streamed=bool(plan.streamed), families=plan.families)
    missing = blocking([*ipv6(plan), *asked])
    if missing:
        raise Problem("the plan cannot be run on these hosts:\n  " + "\n  ".join(missing))
    if not plan.their_domain:
        return plan
    ready, words = await with_their_domain(plan)
    if words:
        progress.step(f"{plan.libvirt.url}: {words}")
    return ready


def run_plan(plan: Plan, runs: Path) -> RunFolder | None:
    """Runs a plan that another verb has made, and gives its run; None where it was interrupted."""
    progress, made, written = ConsoleProgress(stderr()), made_in(runs), list[RunFolder]()
    if plan.lab.kind == "qemu":
        need_lab(plan)

    def begun(run: RunFolder) -> None:
        written.append(run)
        made(run)

    async def work() -> int:
        images = await prepare(progress.step, progress.waiting) if plan.lab.kind == "qemu" else None
        try:
            await execute(plan, runs, images, progress, None, begun)
        finally:
            progress.give()
        return 0

    try:
        code = interruptible(work())
    finally:
        for folder in written:
            hand_over_run(folder.path)
    return written[0] if code == 0 else None


def _listed(trials: Sequence[TrialSpec], width: int) -> Iterator[str]:
    """What all trials have, within so many columns, and a line for each with what sets it apart."""
    factors = [trial.factors.words() for trial in trials]
    same = [key for key, value in factors[0].items() if all(other[key] == value for other in factors)]
    yield from wrap(
        f"in every trial: {', '.join(f'{key} {factors[0][key]}' for key in same)}", width, break_on_hyphens=False
    )
    varying = [key for key in factors[0] if key not in same]
    rows = [["trial", "block", "direction", *varying]]
    for trial, words in zip(trials, factors, strict=True):
        direction = f"{trial.source} to {trial.destination}"
        rows.append([f"{trial.number:5}", f"{trial.block:5}", direction, *(words[key] for key in varying)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(text.ljust(size) for text, size in zip(row, widths, strict=True)).rstrip()


def plan(
    name: str | None = None,
    /,
    *,
    quick: Quick = False,
    lab: Lab = None,
    cloud: CloudName = None,
    instances: Instances = None,
    hosts: Hosts = None,
    domain: Domain = None,
    url: Url = None,
    json: Json = False,
    runs: Runs = Path("runs"),
) -> int:
    """Checks a plan and says what it will do, what it wants, and what is missing here.

    Parameters
    ----------
    name
        The name of a built-in plan or a TOML file; without it what `run` runs.
    """
    loaded = load(_chosen(name, hosts), Options(quick, lab, cloud, instances, hosts, domain, url))
    trials = schedule(loaded)
    boot = boot_of(loaded, runs)
    seconds = expected_s(loaded, trials, boot.seconds) + 5 + (SEARCH_S if loaded.visitors.fits else 0)
    size = len(trials) * BYTES_PER_TRIAL
    free = shutil.disk_usage(Path.cwd()).free
    missing, listens = _missing(loaded), _listens(loaded)
    if json:
        print_json(
            {
                "schema": 1,
                "name": loaded.name,
                "trials": [asdict(trial) for trial in trials],
                "seconds": seconds,
                "boot_s": boot.seconds,
                "boot_of": boot.run or None,
                "disk_bytes": size,
                "free_bytes": free,
                "listens": listens,
                "missing": missing,
            }
        )
        return 0
    out = stdout()
    second = sum(in_second_part(loaded.base_units(), trial.factors) for trial in trials)
    part = f", {second} in a second part" if second else ""
    many = f"{number_of('trial', len(trials))} in {number_of('block', loaded.blocks)}"
    head = f"plan {loaded.name}: {many} on the {loaded.lab.kind} lab{part}"
    out.print(head, soft_wrap=True)
    for line in _listed(trials, out.width):
        out.print(line, markup=False, soft_wrap=True)
    if len(loaded.families) > 1:
        each = "each at the plan's rates, so that the guest has twice as much to answer"
        out.print(f"probed and visited over {' and '.join(loaded.families)}, {each}", soft_wrap=True)
    as_in = f" (boots of {boot.seconds:.0f} s, as in run {boot.run})" if boot.run else ""
    out.print(f"time: about {seconds / 60:.0f} min{as_in}; disk: about {human(size, 'B')} of {human(free, 'B')} free")
    if listens:
        out.print(f"listens meanwhile: {', '.join(listens)}", soft_wrap=True)
    out.print("missing here: " + ("; ".join(missing) if missing else "nothing"), markup=False, soft_wrap=True)
    return 0
