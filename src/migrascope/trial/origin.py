"""The origin of the online video: nginx in `origin`, and the publisher that cuts the loop into a live stream."""

import contextlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from migrascope.node.namespace import Namespace
from migrascope.node.nobody import LISTEN, as_nobody
from migrascope.node.process import ONLY, Where, running
from migrascope.trial.processes import READY_S
from migrascope.workload.origin import CONFIG, WWW, nginx_config


@contextlib.asynccontextmanager
async def origin(space: Namespace | None, address: str, root: Path, loop: Path, folder: Path) -> AsyncIterator[None]:
    """The origin serves the live stream for the length of a with block. ProcessError when it does not come up.

    space, address: where it listens; space None is this machine. root: the image that has nginx. loop: the stream's
    segments. folder: a new one, all that nginx sees of this machine's files. nginx is nobody's process, since others
    reach it.
    """
    www = folder / WWW
    www.mkdir(parents=True)
    config_file = folder / CONFIG
    config_file.write_text(nginx_config(ONLY, address), encoding="utf-8")
    for path, mode in ((folder, 0o755), (www, 0o755), (config_file, 0o644)):
        path.chmod(mode)  # whatever the caller's umask is
    config = {
        "directory": str(folder), "source": "live", "host": "origin", "instance": "", "migration": "",
        "loop": str(loop), "www": str(www),
    }  # fmt: skip
    publisher = [sys.executable, "-m", "migrascope.workload.live", json.dumps(config)]
    nginx = as_nobody(["nginx", "-e", "stderr", "-p", ONLY, "-c", f"{ONLY}/{CONFIG}"], LISTEN)
    async with (
        running("publisher", publisher, Where(space), folder / "publisher.log", piped=True) as process,
        running("origin's nginx", nginx, Where(space, root, folder), folder / "nginx.log"),
    ):
        await process.ready(READY_S)
        yield
