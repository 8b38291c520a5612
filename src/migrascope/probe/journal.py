"""What the services of a cloud's hosts wrote of a server: table journal.

Config: hosts ({host: the command of a Python in the host}), words (ids of the server, its port), units (patterns as
journalctl takes them). When the trial drains, each host's journal since the start is read, and kept of it the lines
with one of the words, or with the id of a request that came in such a line; reading of the APIs and turns of the
switch's agent are left out.
"""

import asyncio
import json
import re
import sys
import time
from collections.abc import Iterator, Sequence

from migrascope.node.program import Program

UNITS = ("nova-*", "neutron-*", "ovn-*")
_READER = "import os, sys; os.execvp('journalctl', ['journalctl', *sys.argv[1:]])"
_LIMIT_S = 20.0
_LONGEST = 600
_REQUEST = re.compile(r"req-[0-9a-f]{8}-[0-9a-f-]{27}")
_AGENT = re.compile(r"security group processed in|Configuration for devices up")
_READING = re.compile(r'"GET |\] GET |Agent rpc_loop')
_HEAD = re.compile(r"^\d{4}-\d\d-\d\d [\d:.]+ \d+ ")
Line = tuple[int, str, str]
"""(wall ns, unit, message)"""


def lines(text: str) -> Iterator[Line]:
    """The lines of `journalctl --output=json`; the service's own stamp at the beginning of a message is left out. The
    stamp is the kernel's of when a line was sent, where the journal has it, because a busy journal takes it in some ms
    later; else the journal's."""
    for row in map(json.loads, text.splitlines()):
        message = row.get("MESSAGE")
        if isinstance(message, str):
            unit = str(row.get("_SYSTEMD_UNIT", "")).removesuffix(".service")
            stamp = row.get("_SOURCE_REALTIME_TIMESTAMP", row["__REALTIME_TIMESTAMP"])
            yield int(stamp) * 1000, unit, _HEAD.sub("", message)[:_LONGEST]


def about(found: Sequence[Line], words: Sequence[str], requests: set[str]) -> list[Line]:
    """The lines with one of the words or requests, and what the switch's agent says of the ports that it wires."""

    def belongs(message: str) -> bool:
        if _READING.search(message):
            return False
        named = any(word in message for word in words) or requests & set(_REQUEST.findall(message))
        return bool(named or _AGENT.search(message))

    return [line for line in found if belongs(line[2])]


def requests_of(found: Sequence[Line], words: Sequence[str]) -> set[str]:
    """The ids of the requests that lines with one of the words belong to."""
    named = [line for line in found if any(word in line[2] for word in words) and not _READING.search(line[2])]
    return {request for _, _, message in named for request in _REQUEST.findall(message)}


async def _read(host: str, python: Sequence[str], since_s: float) -> list[Line]:
    """A host's journal; without it a trial goes on: then it is empty, and this program's log says why."""
    units = [f"--unit={unit}" for unit in UNITS]
    fields = "--output-fields=MESSAGE,_SYSTEMD_UNIT,_SOURCE_REALTIME_TIMESTAMP"
    child = await asyncio.create_subprocess_exec(
        *python, "-c", _READER, "--output=json", fields, "--no-pager", f"--since=@{since_s:.6f}", *units,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        output, errors = await asyncio.wait_for(child.communicate(), _LIMIT_S)
    except TimeoutError:
        child.kill()
        await child.communicate()  # not wait(): it waits for pipes that nobody reads any more
        output, errors = b"", f"no answer in {_LIMIT_S:g} s".encode()
    if child.returncode:
        print(f"the journal of {host} cannot be read: {errors.decode(errors='replace').strip()}", file=sys.stderr)
        return []
    return list(lines(output.decode(errors="replace")))


async def main(program: Program) -> None:
    hosts, words = program.config["hosts"], program.config["words"]
    since = time.time()
    program.ready()
    await program.drained()
    read = await asyncio.gather(*(_read(host, python, since) for host, python in hosts.items()))
    requests = requests_of([line for found in read for line in found], words)
    for host, found in zip(hosts, read, strict=True):
        with program.spool("journal", source=f"journal-{host}", host=host) as spool:
            spool.add_all(about(found, words, requests))
    await program.ended()


if __name__ == "__main__":
    Program.from_argv().run(main)
