"""The lines of libvirt's own log that name the phases of a migration: table libvirt_log.

Config: logs ({host: path of its libvirtd's log on this machine}). When the trial drains, what was written since the
start is read, and of it kept what the functions of FUNCTIONS said. libvirt writes them at the level debug, from its
source qemu.qemu_migration and qemu.qemu_domainjob: their names and words are of its version 11.
"""

import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from migrascope.node.program import Program

FUNCTIONS = (
    "qemuDomainObjSetJobPhase", "qemuMigrationSrcPerformPeer2Peer3", "qemuMigrationSrcRestoreDomainState",
)  # fmt: skip
_LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\.(\d{3})\+0000: (\d+): \w+ : (\w+):\d+ : (.*)")
_LONGEST = 200


def lines(text: str) -> Iterator[tuple[int, int, str, str]]:
    """(wall ns, thread, function, message) of each line of a log that is of a phase."""
    for found in filter(None, map(_LINE.match, text.splitlines())):
        second, millis, thread, function, message = found.groups()
        if function in FUNCTIONS:
            whole = int(datetime.fromisoformat(second).replace(tzinfo=UTC).timestamp())
            yield whole * 10**9 + int(millis) * 10**6, int(thread), function, message[:_LONGEST]


def _since(path: Path, begin: int) -> str:
    """What a log holds from that byte on; "" where it cannot be read, and this program's log says why."""
    try:
        with path.open("rb") as file:
            file.seek(begin)
            return file.read().decode(errors="replace")
    except OSError as error:
        print(f"{path}: {error.strerror}", file=sys.stderr)
        return ""


async def main(program: Program) -> None:
    logs = {host: Path(path) for host, path in program.config["logs"].items()}
    begun = {host: path.stat().st_size if path.exists() else 0 for host, path in logs.items()}
    program.ready()
    await program.drained()
    for host, path in logs.items():
        with program.spool("libvirt_log", source=f"libvirt-log-{host}", host=host) as spool:
            spool.add_all(lines(_since(path, begun[host])))
    await program.ended()


if __name__ == "__main__":
    Program.from_argv().run(main)
