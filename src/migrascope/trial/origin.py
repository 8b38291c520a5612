"""The origin of the online video: nginx in `origin`, and the publisher that cuts the loop into a live stream."""

import contextlib
import json
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from migrascope.model.problem import Problem
from migrascope.node.namespace import Namespace
from migrascope.node.nobody import LISTEN, as_nobody, while_we_live
from migrascope.node.process import ONLY, Process, ProcessError, Where, running
from migrascope.node.wait import wait_until
from migrascope.trial.processes import READY_S
from migrascope.workload.origin import CONFIG, WWW, nginx_config

Ended = Callable[[], str | None]
"""Says why something has ended that should run, or None."""
_CONNECT_S = 1.0
T = TypeVar("T")


@contextlib.asynccontextmanager
async def origin(
    space: Namespace | None, address: str, root: Path, loop: Path, folder: Path, *, port: int = 80,
    only: Sequence[str] = (),
) -> AsyncIterator[Ended]:  # fmt: skip
    """The origin serves the live stream for the length of a with block, which gives what says that it has ended.
    Problem where something else listens there, ProcessError when it does not come up.

    space, address, port: where it listens; space None is this machine. root: the image that has nginx. loop: the
    stream's segments. folder: a new one, all that nginx sees of this machine's files. only: from which addresses it may
    be asked; empty: from all. nginx is nobody's process, since others reach it.
    """
    if words := _in(space, partial(taken, address, port)):
        raise Problem(f"the origin of the live stream: {words}\n  next: {who_listens(port)}")
    www = folder / WWW
    www.mkdir(parents=True)
    config_file = folder / CONFIG
    config_file.write_text(nginx_config(ONLY, address, port, only), encoding="utf-8")
    for path, mode in ((folder, 0o755), (www, 0o755), (config_file, 0o644)):
        path.chmod(mode)  # whatever the caller's umask is
    config = {
        "directory": str(folder), "source": "live", "host": "origin", "instance": "", "migration": "",
        "loop": str(loop), "www": str(www),
    }  # fmt: skip
    publisher = [sys.executable, "-m", "migrascope.workload.live", json.dumps(config)]
    nginx = as_nobody(while_we_live(["nginx", "-e", "stderr", "-p", ONLY, "-c", f"{ONLY}/{CONFIG}"]), LISTEN)
    async with (
        running("publisher", publisher, Where(space), folder / "publisher.log", piped=True) as publishing,
        running("origin's nginx", nginx, Where(space, root, folder), folder / "nginx.log") as serving,
    ):
        ended = partial(_ended, publishing, serving)

        async def listens() -> bool:
            if words := ended():
                raise ProcessError(words)
            return _in(space, partial(_answers, address, port))

        await publishing.ready(READY_S)
        await wait_until(listens, READY_S, f"the origin listens on {address}:{port}")
        yield ended


def taken(address: str, port: int) -> str | None:
    """Why nothing can listen on that address and port of this machine now, in words; None where it can."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as nginx does: what has ended takes no port
        try:
            trial.bind((address, port))
            trial.listen()
        except PermissionError:
            return None  # who may not does not know; nginx may
        except OSError as error:
            return f"{address}:{port}: {error.strerror}"
    return None


def who_listens(port: int) -> str:
    """The command that says which program has a port."""
    return f"ss -ltnp 'sport = :{port}'"


def _in(space: Namespace | None, function: Callable[[], T]) -> T:
    return function() if space is None else space.call(function)


def _answers(address: str, port: int) -> bool:
    with socket.socket() as asking:
        asking.settimeout(_CONNECT_S)
        return asking.connect_ex((address, port)) == 0


def _ended(*processes: Process) -> str | None:
    return next((process.problem() for process in processes if process.ended), None)
