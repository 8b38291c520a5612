"""A guest's QEMU on a node of the testbed, and the events of its libvirt."""

import sys
from pathlib import Path
from typing import Any, cast

import pytest

from migrascope.lab.libvirt.events import EventWatch
from migrascope.lab.testbed.injectors.processes import qemu_of
from migrascope.lab.testbed.injectors.services import number_inside
from migrascope.node.wait import wait_until


class Here:
    """A node whose processes are this machine's."""

    name = "here"

    def pid(self) -> int:
        return 1


def test_a_qemu_is_found_by_its_instance(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module = "migrascope.lab.testbed.injectors.processes"
    monkeypatch.setattr(f"{module}.members", lambda pid: [10, 20, 30])
    for pid, comm, words in ((10, "python3", b"server-1"), (20, "qemu-system-x86", b"-uuid\0server-2"),
                             (30, "qemu-system-x86", b"-uuid\0server-1")):  # fmt: skip
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "comm").write_text(f"{comm}\n")
        (tmp_path / str(pid) / "cmdline").write_bytes(words)
    monkeypatch.setattr(f"{module}.Path", lambda text: tmp_path / text.removeprefix("/proc/"))
    assert qemu_of(cast(Any, Here()), "server-1") == 30
    with pytest.raises(ProcessLookupError, match="on here"):
        qemu_of(cast(Any, Here()), "server-3")


def test_a_process_that_is_gone_has_no_number() -> None:
    assert number_inside(2**22 + 1) == 0
    assert number_inside(1) > 0


EVENTS = """
import json, sys
print(json.dumps(["ready", 0, {}]), flush=True)
print(json.dumps(["STOP", 5, {"uuid": sys.argv[4]}]), flush=True)
print('["cut off', end="", flush=True)
"""


async def test_events_are_told_by_their_own_stamps(tmp_path: Path) -> None:
    stand_in = tmp_path / "python"
    stand_in.write_text(f"#!{sys.executable}\n{EVENTS}")
    stand_in.chmod(0o755)
    seen: list[Any] = []
    watch = EventWatch([str(stand_in)], "uri", "server-1", lambda *event: seen.append(event))
    await watch.begin()

    async def heard() -> bool:
        return bool(seen)

    await wait_until(heard, 10, "the event is told")
    await watch.close()
    ((name, data, at_ns),) = seen
    assert (name, data) == ("STOP", {"uuid": "server-1"})
    assert at_ns < 0  # 5 ns after the epoch lies before this machine's boot
