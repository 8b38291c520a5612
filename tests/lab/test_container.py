"""A node with an init: boots in its own network, takes orders, is switched off or killed, and leaves nothing."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from lab.machine import foreign, sysctls
from migrascope.node import cgroup
from migrascope.node.container import PROGRAM, Container, File, NotUp
from migrascope.node.image import Recipe, root_image
from migrascope.node.namespace import Namespace
from migrascope.node.process import ProcessError
from migrascope.node.register import Register
from migrascope.node.takedown import Cleaned, clean, remove
from migrascope.node.wait import wait_until
from needs import need

pytestmark = pytest.mark.lab

SMALL = Recipe(
    name="systemd",
    suite="trixie",
    packages=("systemd", "systemd-sysv", "dbus", "iproute2", "procps"),
    commands=(
        "for unit in systemd-sysctl systemd-modules-load; do"
        ' ln -sf /dev/null "$1"/etc/systemd/system/$unit.service; done',
        'mkdir -p "$1"/var/log/journal; : > "$1"/etc/machine-id',
    ),
    wanted_bytes=500_000_000,
)


@pytest_asyncio.fixture
async def node(tmp_path: Path) -> AsyncIterator[Container]:
    """A node that is down, in a register of its own; afterwards everything is as it was."""
    need(shutil.which(PROGRAM), f"{PROGRAM}; apt-get install systemd-container")
    image = await root_image(SMALL)
    links, settings = foreign(), sysctls()
    register = Register.lasting("ms-nodetest", tmp_path)
    _claim_by_another(register)
    space = register.namespace("one")
    space.create()
    made = Container("one", f"{register.id}-one", space, image, register.folder / "one")
    if (path := made.cgroup()) is not None:
        register.cgroup(path)
    made.lay("/etc/machine-id", "0123456789abcdef0123456789abcdef\n")
    made.lay("/etc/hostname", "one\n")
    yield made
    remove(register, Cleaned())
    assert foreign() == links
    assert not space.path.exists()
    assert sysctls() ^ settings == set()


async def test_a_node_boots_takes_orders_and_is_switched_off(node: Container) -> None:
    await node.boot()
    assert (await node.run(["hostname"])).strip() == "one"
    assert (await node.run(["ls", "/sys/class/net"])).split() == ["lo"]
    assert "systemd" in await node.run(["cat", "/proc/1/comm"])
    assert "0::/" in await node.run(["cat", "/proc/1/cgroup"])
    with pytest.raises(ProcessError, match="no such"):
        await node.run(["sh", "-c", "echo no such >&2; exit 3"])
    await node.stop()
    assert node.pid() is None
    with pytest.raises(NotUp):
        await node.run(["true"])


async def test_what_a_node_has_written_stays_when_it_is_killed(node: Container) -> None:
    await node.boot()
    await node.write([File("/etc/new/one", "text\n", 0o640, "root:adm"), File("/etc/new/two", "")])
    assert (await node.run(["stat", "-c", "%a %U:%G", "/etc/new/one"])).strip() == "640 root:adm"
    assert await node.run(["cat"], stdin="of stdin") == "of stdin"
    await node.kill()
    assert node.pid() is None
    await node.boot()
    assert await node.run(["cat", "/etc/new/one"]) == "text\n"
    assert "Journal" in await node.run(["journalctl", "-b", "-1", "-n", "3", "-u", "systemd-journald", "-o", "cat"])


async def test_a_service_that_is_killed_is_seen_and_a_program_dies_with_its_caller(node: Container) -> None:
    await node.boot()
    unit = "[Service]\nExecStart=sleep 1000\n"
    await node.write([File("/etc/systemd/system/sleeper.service", unit)])
    await node.run(["systemctl", "daemon-reload"])
    await node.run(["systemctl", "start", "sleeper"])
    await node.run(["systemctl", "kill", "--signal=KILL", "sleeper"])
    await wait_until(lambda: _is(node, "sleeper", "failed"), 5, "systemd has seen it")
    with pytest.raises(ProcessError, match="took more than"):
        await node.run(["sleep", "987"], timeout_s=0.5)

    async def gone() -> bool:
        return "sleep 987" not in await node.run(["ps", "-e", "-o", "args"])

    await wait_until(gone, 5, "the program has died")


async def test_a_node_that_was_left_frozen_goes_on_when_it_is_booted(node: Container) -> None:
    await node.boot()
    node.freeze(frozen=True)
    await wait_until(node.frozen, 5, "it is frozen")
    await node.boot()
    assert (await node.run(["systemctl", "is-active", "dbus.socket"])).strip() == "active"


async def _is(node: Container, unit: str, state: str) -> bool:
    return (await node.run(["sh", "-c", f"systemctl is-active {unit} || true"])).strip() == state


async def test_a_node_outlives_who_started_it_and_clean_takes_it_only_when_it_is_dead(node: Container) -> None:
    code = "import asyncio, sys; from pathlib import Path; from migrascope.node.container import Container;"
    code += "from migrascope.node.namespace import Namespace; a = sys.argv;"
    code += "asyncio.run(Container(a[1], a[2], Namespace(a[3]), Path(a[4]), Path(a[5])).boot())"
    arguments = [node.name, node.id, node.namespace.name, str(node.image), str(node.folder)]
    starter = await asyncio.create_subprocess_exec(sys.executable, "-c", code, *arguments)
    assert await starter.wait() == 0
    testbeds = node.folder.parent.parent
    assert clean(testbeds / "none", testbeds).labs == []
    assert (await node.run(["hostname"])).strip() == "one"
    pid = node.pid()
    assert pid is not None
    os.kill(pid, 9)
    await wait_until(lambda: _dead(node), 5, "it is dead")
    assert clean(testbeds / "none", testbeds).labs == ["ms-nodetest"]
    assert node.layer.exists(), "what it has written is kept"
    path = node.cgroup()
    assert path is None or not path.exists()


async def _dead(node: Container) -> bool:
    return node.pid() is None


def _claim_by_another(register: Register) -> None:
    """Its owner is a process that has ended, as `testbed up` has; what starts from now on is its own."""
    code = "import sys; from pathlib import Path; from migrascope.node.register import Register as R; "
    code += "R(Path(sys.argv[1])).claim()"
    subprocess.run([sys.executable, "-c", code, str(register.folder)], check=True)


async def test_a_node_that_cannot_boot_says_why(node: Container) -> None:
    broken = Container(node.name, node.id, Namespace("ms-nowhere"), node.image, node.folder)
    with pytest.raises(Exception, match=r"ended while it booted: .*ms-nowhere"):
        await broken.boot()


def test_a_cgroup_is_removed_with_those_below_it(node: Container) -> None:
    path = cgroup.hierarchy() / "ms-nodetest-cgroup"
    cgroup.create(path)
    (path / "below").mkdir()
    assert cgroup.remove(path)
    assert not cgroup.remove(path)
