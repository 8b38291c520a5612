"""The origin of the online video: nginx in `origin`, and the publisher that cuts the loop into a live stream."""

import contextlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from migrascope.node.namespace import Namespace
from migrascope.node.process import Where, running
from migrascope.workload.origin import nginx_config


@contextlib.asynccontextmanager
async def origin(space: Namespace | None, address: str, root: Path, loop: Path, folder: Path) -> AsyncIterator[None]:
    """The origin serves the live stream for the length of a with block. ProcessError when it does not come up.

    space, address: where it listens; space None is this machine. root: the image that has nginx. loop: the stream's
    segments. folder: a new one.
    """
    www = folder / "www"
    www.mkdir(parents=True)
    (folder / "nginx.conf").write_text(nginx_config(www, folder, address), encoding="utf-8")
    config = {
        "directory": str(folder), "source": "live", "host": "origin", "instance": "", "migration": "",
        "loop": str(loop), "www": str(www),
    }  # fmt: skip
    publisher = [sys.executable, "-m", "migrascope.workload.live", json.dumps(config)]
    nginx = ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    async with (
        running("publisher", publisher, Where(space), folder / "publisher.log", piped=True) as process,
        running("origin's nginx", nginx, Where(space, root), folder / "nginx.log"),
    ):
        await process.ready(20)
        yield
