"""The testbed's privileged helpers: its client and its server as they lie in a node, with stand-ins for OpenStack."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from migrascope.testbed.roles import privsep
from migrascope.testbed.task import File

# As oslo.privsep's: it forks, its parent returns, and the daemon goes on for as long as its agent does.
_DAEMON = """
import os, sys, time
loaded = os.getpid()
def helper_main():
    if "--refuse" in sys.argv:
        raise RuntimeError("no such context")
    if os.fork():
        return
    with open(sys.argv[-1] + ".part", "w") as file:
        file.write(f"{os.getpid()} {loaded} {sys.argv[:-1]}")
    os.rename(sys.argv[-1] + ".part", sys.argv[-1])
    time.sleep(600)
"""

# A socket of a unit is file descriptor 3 of its service.
_AS_SYSTEMD = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.execv(sys.executable, [sys.executable, sys.argv[2]])"


def _texts() -> dict[str, str]:
    return {action.path: action.text for action in privsep.tasks()[0].actions if isinstance(action, File)}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[list[str]]:
    """The command line of the client, whose server runs."""
    imports = [line for line in _texts()[privsep.SERVER].splitlines() if line.startswith(("import ", "from "))]
    names = [name.strip() for line in imports[1:-1] for name in line.removeprefix("import ").split(",")]
    for name in (*names, "oslo_privsep.daemon"):
        file = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(_DAEMON if name == "oslo_privsep.daemon" else "")
    (tmp_path / "server").write_text(_texts()[privsep.SERVER])
    path = str(tmp_path / "socket")
    (tmp_path / "client").write_text(_texts()[privsep.CLIENT].replace(privsep.SOCKET, path))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        server = subprocess.Popen(
            [sys.executable, "-c", _AS_SYSTEMD, str(listening.fileno()), str(tmp_path / "server")],
            pass_fds=[listening.fileno()],
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
        )
    try:
        yield [sys.executable, "-IS", str(tmp_path / "client")]
    finally:
        server.kill()
        server.wait()


def test_a_helper_is_forked_from_what_is_loaded_and_outlives_its_client(client: list[str], tmp_path: Path) -> None:
    done = subprocess.run([*client, "--config-file", "a b", str(tmp_path / "answer")], timeout=30, check=True)
    while not (tmp_path / "answer").exists():
        time.sleep(0.01)
    pid, loaded, argv = (tmp_path / "answer").read_text().split(" ", 2)
    os.kill(int(pid), 9)
    assert pid != loaded
    assert argv == "['privsep-helper', '--config-file', 'a b']"
    assert done.returncode == 0


def test_a_helper_that_does_not_start_is_an_error_with_its_words(client: list[str], tmp_path: Path) -> None:
    done = subprocess.run([*client, "--refuse"], timeout=30, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode
    assert "no such context" in done.stderr
    subprocess.run([*client, str(tmp_path / "answer")], timeout=30, check=True)
    while not (tmp_path / "answer").exists():
        time.sleep(0.01)
    os.kill(int((tmp_path / "answer").read_text().split(" ", 1)[0]), 9)
