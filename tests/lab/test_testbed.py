"""The testbed end to end: up, its parts switched off and cut, killed while it comes up, gone without a trace."""

import contextlib
import fcntl
import json
import os
import random
import shutil
import signal
import socket
import stat
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kept import Kept
from lab.machine import COMMAND, bound, foreign, listening, migrascope, sysctls, where
from migrascope.node.cgroup import hierarchy
from migrascope.node.namespace import NETNS
from migrascope.node.paths import TESTBEDS
from migrascope.node.register import Register
from migrascope.testbed.needs import missing
from migrascope.testbed.secrets import Secrets
from migrascope.testbed.settings import address
from migrascope.testbed.snapshot import SNAPSHOTS
from migrascope.testbed.topology import Topology
from needs import need

pytestmark = pytest.mark.lab

NAME = f"check{os.getpid()}"
MOMENTS = 10
_LONGEST_S = 60.0


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`migrascope testbed` on the tests' own testbed."""
    verbs = 2 if arguments[0] in ("node", "link") else 1
    return migrascope("testbed", *arguments[:verbs], "--name", NAME, *arguments[verbs:], timeout_s=1200)


def status() -> dict[str, Any]:
    """What `status --json` prints."""
    found: dict[str, Any] = json.loads(call("status", "--json").stdout)
    return found


def until_healthy(timeout_s: float = 120) -> dict[str, Any]:
    """The status as soon as it is healthy."""
    deadline = time.monotonic() + timeout_s
    while not (found := status())["healthy"]:
        assert time.monotonic() < deadline, json.dumps(found, indent=1)
        time.sleep(1)
    return found


def traces() -> list[str]:
    """What there is of the tests' testbed on this machine; empty when it is gone."""
    found = [path.name for path in NETNS.glob(f"ms-{NAME}-*")]
    found += [path.name for path in hierarchy().glob(f"ms-{NAME}-*")]
    found += [str(path) for path in TESTBEDS.glob(f"ms-{NAME}*")]
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            found += [command] if f"ms-{NAME}-" in command else []
    return found + [line for line in Path("/proc/self/mounts").read_text().splitlines() if f"ms-{NAME}" in line]


def purge() -> None:
    """No testbed of the tests' own is there any more: a purge succeeds as long as there is one."""
    there = (TESTBEDS / f"ms-{NAME}").exists()
    done = call("down", "--purge")
    assert done.returncode == (0 if there else 2), done.stdout + done.stderr


def modules() -> set[str]:
    """The kernel modules that are loaded."""
    file = Path("/proc/modules")
    return {line.split()[0] for line in file.read_text().splitlines()} if file.exists() else set()


@pytest.fixture(scope="module")
def machine() -> Iterator[None]:
    """A machine that can run a testbed, and is afterwards as it was before."""
    lacking = missing()
    need(not lacking, "; ".join(lacking))
    purge()
    before, settings = (foreign(), modules()), sysctls()
    try:
        yield
    finally:
        purge()
    assert traces() == []
    assert (foreign(), modules()) == before
    assert sysctls() ^ settings == set()


@pytest.fixture(scope="module")
def up(machine: None) -> str:
    """A testbed that is up; what `up` said on the way."""
    made = call("up")
    assert made.returncode == 0, made.stderr + made.stdout
    return made.stderr


def test_up_ends_healthy_with_a_line_for_each_step(up: str) -> None:
    assert "2 nodes run" in up
    assert "all alive" in up
    found = status()
    assert found["healthy"]
    assert {node["name"] for node in found["nodes"]} == {"controller", "compute"}
    assert found["ceph"] == {"health": "HEALTH_OK", "osds_up": 2}
    assert found["families"] == ["ipv4", "ipv6"]
    assert {"keystone", "nova-compute", "neutron-l3-agent", "cinder-volume"} <= {
        service["name"] for service in found["services"]
    }
    assert all(service["version"] for service in found["services"] if service["name"] == "nova-compute")


def test_its_cloud_and_horizon_answer_on_loopback_and_nothing_else_listens(up: str) -> None:
    found = status()
    clouds = Path(found["clouds_yaml"])
    assert stat.S_IMODE(clouds.stat().st_mode) == 0o600
    with urllib.request.urlopen(found["horizon"], timeout=30) as answer:
        assert b"OpenStack Dashboard" in answer.read()
    ours = {(address, port) for address, port in listening() if port in (5000, 8774, 9696)}
    assert ours
    assert all(address.startswith("127.77.") for address, _ in ours)


def test_no_password_is_in_a_command_line_log_or_readable_file(up: str) -> None:
    folder = TESTBEDS / f"ms-{NAME}"
    assert stat.S_IMODE((folder / "secret").stat().st_mode) == 0o600
    secrets = Secrets.of(folder / "secret")
    words = {secrets.password(name) for name in ("admin", "rabbitmq", "service nova", "database nova")}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            command = path.read_bytes().decode(errors="replace")
            assert not any(word in command for word in words), command
    journal = call("logs", "controller").stdout
    assert len(journal) > 1000
    assert not any(word in journal for word in words)
    assert not any(word in up for word in words)


def test_a_node_that_fails_and_a_network_that_is_cut_are_seen_and_heal(up: str) -> None:
    assert call("link", "down", "compute", "storage").returncode == 0
    assert status()["cut"] == ["compute storage"]
    assert call("link", "up", "compute", "storage").returncode == 0
    until_healthy()
    assert call("node", "stop", "compute", "--kill").returncode == 0
    found = status()
    assert [node["up"] for node in found["nodes"]] == [True, False]
    assert not found["healthy"]
    on_disk = call("logs", "compute", "nova-compute")
    assert on_disk.returncode == 0, on_disk.stderr
    only_of("nova-compute", on_disk.stdout)
    done = call("node", "start", "compute")
    assert done.returncode == 0, done.stderr
    until_healthy()


def only_of(service: str, journal: str) -> None:
    """A journal holds what one service said, and nothing of others."""
    lines = [line for line in journal.splitlines() if not line.startswith("--")]
    assert lines
    assert {line.split()[3].partition("[")[0].rstrip(":") for line in lines} <= {service, "systemd"}
    assert any(f" {service}[" in line for line in lines)


def test_logs_are_of_one_service_where_one_is_named(up: str) -> None:
    only_of("nova-scheduler", call("logs", "controller", "nova-scheduler").stdout)
    everybody = call("logs", "controller").stdout
    assert "nova-conductor[" in everybody
    wrong = call("logs", "nowhere")
    assert wrong.returncode == 2


def carried_s(source: str, size: int) -> float:
    """How long a node takes to send bytes to the controller over the migration link."""
    spaces = Topology(Register(TESTBEDS / f"ms-{NAME}")).namespaces

    def receive(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            while connection.recv(65536):
                pass

    with spaces["controller"].call(lambda: socket.create_server((address("controller", "migration"), 0))) as listening:
        receiver = threading.Thread(target=receive, args=[listening])
        receiver.start()
        began = time.monotonic()
        with spaces[source].call(lambda: socket.create_connection(listening.getsockname(), timeout=30)) as sending:
            sending.sendall(bytes(size))
        receiver.join()
    return time.monotonic() - began


def test_the_rate_of_a_network_is_set_shown_and_lifted(up: str) -> None:
    assert status()["rates_bps"] == {}
    done = call("link", "rate", "migration", "20mbit")
    assert done.returncode == 0, done.stderr
    assert status()["rates_bps"] == {"migration": 20e6}
    assert "rate: migration 20mbit" in call("status").stdout
    assert 1.8 < carried_s("compute", 5_000_000) < 4
    assert call("link", "rate", "migration", "none").returncode == 0
    assert status()["rates_bps"] == {}
    assert carried_s("compute", 5_000_000) < 1
    for wrong in (("migration", "fast"), ("migration", "1bit"), ("nowhere", "1mbit")):
        assert call("link", "rate", *wrong).returncode == 2


def test_the_settings_of_migrations_change_while_it_runs(up: str) -> None:
    assert json.loads(call("migration", "--json").stdout)["downtime_ms"] == 500
    changed = call("migration", "--downtime-ms", "300", "--json")
    assert json.loads(changed.stdout)["downtime_ms"] == 300, changed.stderr
    for node in ("controller", "compute"):
        assert "live_migration_downtime = 300" in call("shell", node, "sh", "-c", "cat /etc/nova/*.conf").stdout
    until_healthy()


def test_clean_leaves_a_testbed_that_is_up(up: str) -> None:
    assert migrascope("clean").returncode == 0
    assert status()["healthy"]


def test_a_second_testbed_is_refused_where_the_first_may_take_the_memory(up: str, tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 13000000 kB\nMemAvailable: 6600000 kB\n")
    other = f"{NAME}other"
    refused = where([bound(tmp_path / "meminfo", Path("/proc/meminfo"))], "testbed", "up", "--name", other)
    assert refused.returncode == 4
    assert "left to other testbeds" in refused.stderr
    assert list(TESTBEDS.glob(f"*{other}*")) == []


def test_shell_runs_a_command_and_gives_its_code(up: str) -> None:
    done = call("shell", "compute", "hostname")
    assert (done.returncode, done.stdout.strip()) == (0, "compute")
    assert call("shell", "compute", "false").returncode == 1
    wrong = call("shell", "nowhere", "true")
    assert wrong.returncode == 2
    assert "controller, compute" in wrong.stderr


def test_down_keeps_the_state_and_up_goes_on_with_it_also_after_a_node_would_not_boot(up: str) -> None:
    assert call("shell", "controller", "touch", "/root/kept").returncode == 0
    assert call("link", "rate", "external", "50mbit").returncode == 0
    assert call("down").returncode == 0
    assert [trace for trace in traces() if not trace.startswith(str(TESTBEDS))] == []
    init = TESTBEDS / f"ms-{NAME}/compute/layer/usr/lib/systemd/systemd"
    init.parent.mkdir(parents=True, exist_ok=True)
    init.write_text("#!/bin/sh\necho no more than this\nexit 1\n")
    init.chmod(0o755)
    failed = call("up")
    assert failed.returncode == 4
    assert "the node compute ended while it booted" in failed.stderr
    assert "no more than this" in failed.stderr
    init.unlink()
    again = call("up", "--downtime-ms", "250")
    assert again.returncode == 0, again.stderr
    assert "starts from" not in again.stderr
    assert call("shell", "controller", "ls", "/root/kept").returncode == 0
    assert status()["rates_bps"] == {"external": 50e6}
    assert json.loads(call("migration", "--json").stdout)["downtime_ms"] == 250
    assert "live_migration_downtime = 250" in call("shell", "compute", "sh", "-c", "cat /etc/nova/*.conf").stdout


def forget_snapshots() -> None:
    """The next `up` starts from the image. Waits for whoever copies one."""
    SNAPSHOTS.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (SNAPSHOTS / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for kept in SNAPSHOTS.glob("testbed-*"):
            shutil.rmtree(kept)


def hit(number: int) -> str:
    """Kills an `up` at a seeded moment, brings it up after all, and removes it; gives a line for the table."""
    purge()
    if number % 2:
        forget_snapshots()
    part = _LONGEST_S / MOMENTS
    after_s = part * number + random.Random(number).uniform(0, part)
    first = subprocess.Popen(
        [*COMMAND, "testbed", "up", "--name", NAME], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    with contextlib.suppress(subprocess.TimeoutExpired):
        first.wait(after_s)
    first.send_signal(signal.SIGKILL)
    first.wait()
    began = time.monotonic()
    again = call("up")
    took_s = time.monotonic() - began
    assert again.returncode == 0, f"killed after {after_s:.1f} s: {again.stderr}"
    assert call("down", "--purge").returncode == 0
    assert traces() == []
    return f"{number:2}  killed after {after_s:4.1f} s, then up in {took_s:5.1f} s, purged without a trace"


@pytest.mark.soak
@pytest.mark.usefixtures("machine")
def test_killed_at_all_moments(kept: Kept) -> None:
    kept.write("\n".join(hit(number) for number in range(MOMENTS)))
