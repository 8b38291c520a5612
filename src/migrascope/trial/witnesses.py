"""What a trial's verdict rests on beside the probes: the ledger, the website's pages, the volume afterwards."""

import asyncio
import hashlib
import json
import socket
from collections.abc import Mapping
from pathlib import Path

from migrascope.lab.contract import Instance
from migrascope.lab.runtime import Runtime
from migrascope.model.postcheck import PostCheck
from migrascope.model.problem import Problem
from migrascope.node.namespace import Namespace
from migrascope.node.process_spec import ProcessSpec
from migrascope.store.recording import LEDGER, VOLUME
from migrascope.trial.agent_client import SLOW_S, AgentClient
from migrascope.trial.runtime import MACHINE

_PAGE_LIMIT_S = 5.0


class Ledger:
    """The guest's ledger and its collector at the client's address towards the instance."""

    def __init__(self, instance: Instance, client: Namespace | None, runtime: Runtime = MACHINE) -> None:
        self._client = client
        self.address, self.port = runtime.free_port(client, instance.address, socket.SOCK_DGRAM)

    def collector(self) -> ProcessSpec:
        """The program that takes the records."""
        config = {"address": self.address, "port": self.port}
        return ProcessSpec("collector", "migrascope.probe.collector", "client", self._client, config)

    async def begin(self, guest: AgentClient, rate: float) -> None:
        """Tells the guest to write `rate` records a second. OSError when it does not answer."""
        await guest.ask(f"/ledger?to={self.address}:{self.port}&rate={rate:g}", post=True, timeout_s=SLOW_S)


async def pages(
    address: str, client: Namespace | None, site: Mapping[str, str], runtime: Runtime = MACHINE
) -> PostCheck:
    """Whether the website serves what it was built with: every file but the videos, by its SHA-256."""
    wanted = {path: checksum for path, checksum in site.items() if not path.startswith("/video/")}
    if not wanted:
        return PostCheck("unknown", "the website's checksums are not known")
    wrong = []
    for path, checksum in wanted.items():
        try:
            status, body = await runtime.request(client, f"http://{address}{path}", timeout_s=_PAGE_LIMIT_S)
        except OSError as error:
            return PostCheck("unknown", f"the website did not answer: {path}: {error}")
        if status >= 400:
            wrong.append(f"{path} (status {status})")
        elif hashlib.sha256(body).hexdigest() != checksum:
            wrong.append(path)
    if wrong:
        return PostCheck("fail", f"the website serves other content: {', '.join(wrong)}")
    return PostCheck("pass", f"{len(wanted)} files as the website was built with")


async def keep_volume(instance: Instance, opened: Path, site: Mapping[str, str]) -> None:
    """Ends the instance and keeps what its volume shows, where it can be read: files `ledger` and `volume.json`. Where
    reading fails, `volume.json` says why."""
    try:
        volume = await instance.offline()
    except (Problem, OSError, TimeoutError) as error:
        (opened / VOLUME).write_text(json.dumps({"error": str(error) or type(error).__name__}), encoding="utf-8")
        return
    if volume is None:
        return
    await asyncio.to_thread((opened / LEDGER).write_bytes, volume.ledger.rstrip(b"\0"))
    text = {"code": volume.fsck_code, "text": volume.fsck_text}
    found = {"fsck": text, "site": volume.site, "expected": dict(site)}
    (opened / VOLUME).write_text(json.dumps(found, indent=1), encoding="utf-8")
