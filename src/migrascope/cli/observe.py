"""`observe`: silences of any addresses as they happen."""

import asyncio
import contextlib
import re
import select
import shlex
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.console import Console

from migrascope.cli.console import EXIT_INTERRUPTED, Json, Runs, interruptible, stderr, stdout
from migrascope.cli.metrics import Metrics, counted, exposing
from migrascope.cli.ribbon import Ribbons
from migrascope.model.observation import MOST_RATE, Begin, Event, Target
from migrascope.model.observed import host_of
from migrascope.model.problem import Problem, UsageProblem
from migrascope.model.units import parse_duration
from migrascope.report.terminal.observed import line, total
from migrascope.study.observation.way import clocked, fitted, target_of

if TYPE_CHECKING:
    from migrascope.store.runfolder import RunFolder
    from migrascope.study.exposition.exposition import Exposition
    from migrascope.study.observation.observe import View
    from migrascope.study.observation.observed import Move

_MOST_PORT = 65535
_MOST_REPEATS = 1000
Rate = Annotated[
    float | None,
    Parameter(
        help="Probes a second to each address; by default 50 to private ones and loopback, to public ones 10 in all."
    ),
]
Port = Annotated[int | None, Parameter(help="TCP handshakes with this port instead of ICMP echo.")]
For = Annotated[str | None, Parameter(name="--for", help="Ends after so long, as in 10m; without it at Ctrl-C.")]
UntilQuiet = Annotated[bool, Parameter(negative="", help="Ends when outages were seen, and then none for 10 s.")]
Url = Annotated[str | None, Parameter(help="Visit this page, too: enough alone where nothing may be probed.")]
BootUrl = Annotated[
    str | None,
    Parameter(help="Where the machine says its boot id: a text as of /proc/sys/kernel/random/boot_id, once a second."),
]
Command = Annotated[
    str | None,
    Parameter(
        help="What moves the machine, quoted as for a shell; or -- COMMAND ARG ... at the end. Makes a run of it."
    ),
]
Repeat = Annotated[int | None, Parameter(help="With a command: run it so often, each time a trial of its own.")]
Pause = Annotated[str | None, Parameter(help="With a command: time between two trials, 10s by default.")]
Prepare = Annotated[str | None, Parameter(help="With a command: a line for the shell before each trial.")]
CommandLimit = Annotated[
    str | None, Parameter(help="With a command: the longest that it may take, 10m by default; it is ended then.")
]
Plain = Annotated[bool, Parameter(negative="", help="Only the lines that stay, as into a pipe.")]


def observe(
    *addresses: str, rate: Rate = None, port: Port = None, url: Url = None, for_: For = None,
    until_quiet: UntilQuiet = False, plain: Plain = False, json: Json = False, command: Command = None,
    repeat: Repeat = None, pause: Pause = None, prepare: Prepare = None, command_limit: CommandLimit = None,
    boot_url: BootUrl = None, metrics: Metrics = None, runs: Runs = Path("runs"),
) -> int:  # fmt: skip
    """Tells when addresses fall silent, from when to when, while it happens; needs no lab and no root. With a command
    that moves the machine, it measures what that costs: table, report and run folder as every run's.

    Parameters
    ----------
    addresses
        Names, IPv4 or IPv6 addresses.
    """
    if not addresses and url is None:
        raise UsageProblem("observe wants an address at least, as in: migrascope observe 192.0.2.10")
    if rate is not None and not 0 < rate <= MOST_RATE:
        raise UsageProblem(f"--rate: more than 0 and at most {MOST_RATE:g} probes a second")
    if port is not None and not 0 < port <= _MOST_PORT:
        raise UsageProblem(f"--port: 1 to {_MOST_PORT}")
    if plain and json:
        raise UsageProblem("--plain and --json: only one of them")
    for_s = None if for_ is None else _seconds("--for", for_)
    if command is not None:
        if for_ is not None or plain or json:
            raise UsageProblem("--for, --plain and --json are for an observation without a command")
        move = _move(command, repeat, pause, prepare, command_limit, until_quiet=until_quiet)
        names = addresses or (host_of(url or ""),)
        if len(names) > 1:
            raise UsageProblem("with a command one address is observed: that of the machine which it moves")
        with exposing(metrics, _say) as exposition:
            return _moved(names[0], url or "", port, rate, move, runs, exposition, boot_url or "")
    if boot_url is not None and len({*addresses}) > 1:
        raise UsageProblem("--boot-url is of one machine: give its address alone")
    if any(option is not None for option in (repeat, pause, prepare, command_limit)):
        raise UsageProblem("--repeat, --pause, --prepare and --command-limit want a command: -- COMMAND ARG ...")
    with exposing(metrics, _say) as exposition:
        return interruptible(
            _observed(
                addresses, url, rate, port, for_s, exposition, boot_url or "", quiet=until_quiet, plain=plain, json=json
            )
        )


def _say(text: str) -> None:
    stderr().print(text, soft_wrap=True)


def _move(
    command: str, repeat: int | None, pause: str | None, prepare: str | None, limit: str | None, *, until_quiet: bool
) -> "Move":
    from migrascope.study.observation.observed import Move

    try:
        argv = shlex.split(command)
    except ValueError as error:
        raise UsageProblem(f"--command: {error}") from error
    if not argv or not argv[0]:
        raise UsageProblem("a command is missing: migrascope observe ADDRESS -- COMMAND ARG ...")
    if repeat is not None and not 1 <= repeat <= _MOST_REPEATS:
        raise UsageProblem(f"--repeat: 1 to {_MOST_REPEATS}")
    return Move(
        argv,
        repeat or 1,
        10.0 if pause is None else _seconds("--pause", pause, zero=True),
        prepare or "",
        600.0 if limit is None else _seconds("--command-limit", limit),
        until_quiet,
    )


def _moved(
    name: str, url: str, port: int | None, rate: float | None, move: "Move", runs: Path,
    exposition: "Exposition | None", boot_url: str,
) -> int:  # fmt: skip
    """Runs the command, and prints what it cost. At Ctrl-C the trial that runs ends, and what there is is printed."""
    from migrascope.cli.owner import hand_over_run, made_in
    from migrascope.cli.progress import ConsoleProgress
    from migrascope.cli.results import interrupted, table_and_report
    from migrascope.study.observation.observed import plan_of_move
    from migrascope.study.runs.run import execute

    progress = ConsoleProgress(stderr())
    begun, made = list["RunFolder"](), made_in(runs)

    def began(run: "RunFolder") -> None:
        begun.append(run)
        made(run)

    async def work() -> int:
        plan, words = await plan_of_move(name, url, port, rate, move, boot_url)
        progress.step(f"{plan.observed.name}: {words}")
        progress.step(f"runs {move.repeat} times: {shlex.join(move.command)}" if move.repeat > 1 else
                      f"runs: {shlex.join(move.command)}")  # fmt: skip
        with contextlib.suppress(asyncio.CancelledError):
            await execute(plan, runs, None, counted(progress, exposition), begun=began)
        if not begun or not begun[0].finished():
            raise asyncio.CancelledError
        return table_and_report(begun[0], stdout())

    try:
        code = interruptible(work())
    finally:
        for run in begun:
            hand_over_run(run.path)
    if begun and interrupted(begun[0]):
        return EXIT_INTERRUPTED
    return code


def _seconds(option: str, text: str, *, zero: bool = False) -> float:
    """Of 10min, or 10m, which plans do not take: there it would be too near to 10ms."""
    try:
        seconds = parse_duration(re.sub(r"(?<=[0-9])m$", "min", text.strip()))
    except ValueError as error:
        raise UsageProblem(f"{option}: {error}") from error
    if seconds <= 0 and not zero:
        raise UsageProblem(f"{option}: more than 0 s")
    return seconds


async def _observed(
    addresses: Sequence[str], url: str | None, rate: float | None, port: int | None, for_s: float | None,
    exposition: "Exposition | None", boot_url: str, *, quiet: bool, plain: bool, json: bool,
) -> int:  # fmt: skip
    names = dict.fromkeys(addresses)
    asked = await asyncio.gather(*(target_of(name, port, rate) for name in names), return_exceptions=True)
    found = []
    for answer in asked:
        if isinstance(answer, Target):
            found.append(answer)
        elif url is None or port is not None or not isinstance(answer, Problem) or isinstance(answer, UsageProblem):
            raise answer
        else:
            stderr().print(f"{str(answer).splitlines()[0]}: visits alone show it", soft_wrap=True)
    targets = list({target.address: target for target in reversed(found)}.values())[::-1]
    if url is not None:
        from migrascope.study.observation.page import page_of

        targets.append(await page_of(url, rate if not addresses else None))
    if boot_url:
        from migrascope.study.observation.page import need_boot_id

        await need_boot_id(boot_url)
        targets = [targets[0].model_copy(update={"boot_url": boot_url}), *targets[1:]]
    targets = await clocked(targets)
    if rate is None:
        targets = fitted(targets)
    console, several = stdout(), len(targets) > 1

    def tell(event: Event) -> None:
        if json:
            console.out(event.model_dump_json(by_alias=True))
        else:
            console.print(line(event, several=several), soft_wrap=True)

    for target in targets:
        tell(Begin.of(target, time.time_ns()))
    if not json:
        console.print(total(targets, for_s), soft_wrap=True)
    stop = _stop_at_interrupt()
    with _counting(tell, exposition) as (told, seen):
        heard = await _until(targets, for_s, told, seen, console, stop, quiet=quiet, lines=plain or json)
    if not heard:
        stderr().print(f"migrascope: {_unheard(targets)}", soft_wrap=True)
        return Problem.code
    return EXIT_INTERRUPTED if stop.is_set() and not console.quiet and (quiet or for_s is not None) else 0


@contextlib.contextmanager
def _counting(
    tell: Callable[[Event], None], exposition: "Exposition | None"
) -> "Iterator[tuple[Callable[[Event], None], Callable[[Sequence[View]], None]]]":
    """What takes events and views; where metrics are wanted, these are made of them, too."""
    if exposition is None:
        yield tell, lambda _: None
        return
    from migrascope.study.exposition.observed import ObservationMetrics

    counts = ObservationMetrics(exposition.publish)

    def told(event: Event) -> None:
        counts.tell(event)
        tell(event)

    try:
        yield told, counts.show
    finally:
        counts.end()


async def _until(
    targets: list[Target], for_s: float | None, tell: Callable[[Event], None], see: "Callable[[Sequence[View]], None]",
    console: Console, stop: asyncio.Event, *, quiet: bool, lines: bool,
) -> bool:  # fmt: skip
    from migrascope.study.observation.observe import (  # its libraries take a second, and the first line none
        Until,
        observe,
    )

    with contextlib.ExitStack() as stack:
        draws = console.is_terminal and not lines
        ribbons = stack.enter_context(Ribbons(console)) if draws else None

        def show(views: "Sequence[View]") -> None:
            if console.quiet or _unread(console):
                stop.set()
            see(views)
            if ribbons is not None:
                ribbons.show(views)

        return await observe(targets, Until(for_s, quiet, stop), tell, show)


def _unread(console: Console) -> bool:
    """Whether the output is a pipe from which nobody reads any more: between two events nothing else would show it."""
    try:
        handle = console.file.fileno()
    except OSError:  # no file
        return False
    poll = select.poll()
    poll.register(handle, 0)
    return any(what & select.POLLERR for _, what in poll.poll(0))


def _stop_at_interrupt() -> asyncio.Event:
    """Is set at Ctrl-C, which is how an observation ends; a second one ends the command at once."""
    stop, task = asyncio.Event(), asyncio.current_task()
    assert task is not None

    def interrupted() -> None:
        if stop.is_set():
            task.cancel()
        stop.set()

    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupted)
    return stop


def _unheard(targets: Sequence[Target]) -> str:
    names = ", ".join(target.label for target in targets)
    return f"nothing has answered: {names}\n  next: --port with a TCP port that is open there, or another address"
