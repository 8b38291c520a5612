"""How long a testbed takes on two cores: from nothing, from its cached image, from its snapshot; and what it takes.

    sudo .venv/bin/python benchmarks/testbed.py [--idle-only NAME | --snapshot-only [OPTIONS OF UP]]

It has a cache of its own, which is empty at first, in a mount namespace of its own; so it downloads what an image is
made of. Each `up` must end healthy and give a server. --idle-only: what a testbed that is up does with nobody there.
--snapshot-only: with this machine's own cache, `up` from the snapshot (made first where there is none), memory and idle
CPU; of a testbed as the options make it, such as `--network ovn`.
Ends with 1 if a budget is missed.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import verdict
from migrascope.node import cgroup
from migrascope.node.container import Container, members
from migrascope.node.paths import CACHE
from migrascope.study.runs.environment import environment
from migrascope.testbed.settings import CONTROLLER
from migrascope.testbed.snapshot import SNAPSHOTS
from migrascope.testbed.testbed import Testbed

NAME = "benchmark"
CORES = 2
SETTLED_S, IDLE_S = 60.0, 60.0
# The goals that hold for a snapshot by itself too. The nodes' processor time is what a busy machine does not change.
SNAPSHOT_S, SNAPSHOT_CPU_S, IDLE_PERCENT = 75.0, 100.0, 8.0
AGENTS_GB, OVN_GB = 5.5, 6.0
_INSIDE = "MIGRASCOPE_BENCHMARK_CACHE"
# Only what lies on the mount of the cache becomes private: namespaces must stay in sight of everybody.
_OWN_CACHE = """
mount --make-private "$(findmnt --noheadings --output TARGET --target "$1")"
mount --bind "$2" "$1"
shift 2
exec "$@"
"""
_SERVER = """
import openstack, sys, time
cloud = openstack.connect(cloud="migrascope")
began = time.monotonic()
image, flavor = cloud.image.find_image("website"), cloud.compute.find_flavor("website")
network = cloud.network.find_network("instances", ignore_missing=False)
server = cloud.compute.create_server(
    name="benchmark", flavor_id=flavor.id, networks=[{"uuid": network.id}],
    block_device_mapping_v2=[{"uuid": image.id, "source_type": "image", "destination_type": "volume",
                              "volume_size": 1, "boot_index": 0, "delete_on_termination": True}])
cloud.compute.wait_for_server(server, wait=180, interval=0.5)
print(time.monotonic() - began)
cloud.compute.delete_server(server)
cloud.compute.wait_for_delete(server, interval=0.5)
"""


@dataclass(frozen=True)
class Budget:
    """A measured value beside the most that it may be, both in `unit`."""

    what: str
    value: float
    limit: float
    unit: str

    @property
    def met(self) -> bool:
        return self.value <= self.limit

    def __str__(self) -> str:
        figures = f"{self.value:8.1f} {self.unit:12} at most {self.limit:g} {self.unit}"
        return f"{self.what:38} {figures:42} {verdict(self.met)}"


def migrascope(*words: str) -> subprocess.CompletedProcess[str]:
    """`migrascope testbed` on the benchmark's testbed; its progress is ours."""
    argv = [sys.executable, "-m", "migrascope", "testbed", *words, "--name", NAME]
    return subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=False)


def up(*options: str) -> float:
    """Seconds of an `up` that ends healthy, on no other cores than ours. SystemExit when it does not."""
    began = time.monotonic()
    done = migrascope("up", *options)
    took_s = time.monotonic() - began
    if done.returncode:
        raise SystemExit(f"up ended with {done.returncode}")
    ours = os.sched_getaffinity(0)
    for node in Testbed(NAME).nodes.values():
        strays = [pid for pid in members(_pid(node)) if not _cores(pid) <= ours]
        if strays:
            raise SystemExit(f"processes of {node.name} run on other cores than {sorted(ours)}: {strays}")
    return took_s


def _pid(node: Container) -> int:
    pid = node.pid()
    if pid is None:
        raise SystemExit(f"the node {node.name} is down")
    return pid


def _cores(pid: int) -> set[int]:
    try:
        return os.sched_getaffinity(pid)
    except ProcessLookupError:
        return set()


def server_s() -> float:
    """Seconds from the request until a server with a volume of its own is ACTIVE; it is deleted again."""
    argv = Testbed(NAME).node(CONTROLLER).command(["python3", "-"])
    return float(subprocess.run(argv, input=_SERVER, stdout=subprocess.PIPE, text=True, check=True).stdout)


def usage(testbed: Testbed) -> dict[str, float]:
    """Seconds of processor time that each service, and each node as a whole, has taken since it started."""
    found = {}
    for name, node in testbed.nodes.items():
        payload = cgroup.of(_pid(node)).parent
        found[name] = cgroup.usage_s(payload)
        for path in payload.rglob("*.service"):
            with contextlib.suppress(OSError):
                found[f"{name} {path.name.removesuffix('.service')}"] = cgroup.usage_s(path)
    return found


def idle(testbed: Testbed) -> dict[str, float]:
    """The share of a core, in percent, that each takes over a minute in which nobody asks for anything."""
    began, before = time.monotonic(), usage(testbed)
    time.sleep(IDLE_S)
    seconds, after = time.monotonic() - began, usage(testbed)
    return {name: 100 * (after[name] - before[name]) / seconds for name in before if name in after}


def print_idle(found: dict[str, float]) -> float:
    """The services that take most, and the sum of the nodes."""
    services = sorted(((share, name) for name, share in found.items() if " " in name), reverse=True)
    for share, name in services[:12]:
        print(f"  {share:5.2f} %  {name}")
    return sum(share for name, share in found.items() if " " not in name)


def disk_bytes(*folders: Path) -> int:
    """What the files below these folders take of the disk, each counted once."""
    done = subprocess.run(["du", "--summarize", "--block-size=1", "--total", *folders],
                          stdout=subprocess.PIPE, text=True, check=True)  # fmt: skip
    return int(done.stdout.splitlines()[-1].split()[0])


def memory_bytes() -> int:
    """What both nodes take."""
    status: dict[str, Any] = json.loads(migrascope("status", "--json").stdout)
    return sum(node["memory_bytes"] for node in status["nodes"])


def measure() -> list[Budget]:
    """Everything, on the cores of this process, with a cache that is empty."""
    try:
        nothing_s = up()
        print(f"a server from nothing: ACTIVE in {server_s():.1f} s")
        migrascope("down", "--purge")
        shutil.rmtree(SNAPSHOTS)
        image_s = up()
        print(f"a server from the cached image: ACTIVE in {server_s():.1f} s")
        migrascope("down", "--purge")
        snapshot_s = up()
        memory = memory_bytes()
        time.sleep(SETTLED_S)
        print("idle, of one core:")
        idle_percent = print_idle(idle(Testbed(NAME)))
        print(f"a server from the snapshot: ACTIVE in {server_s():.1f} s")
        disk = disk_bytes(CACHE, Testbed(NAME).folder)
    finally:
        migrascope("down", "--purge")
    return [
        Budget("up from nothing, downloads included", nothing_s, 540, "s"),
        Budget("up from the cached image", image_s, 150, "s"),
        Budget("up from the snapshot", snapshot_s, SNAPSHOT_S, "s"),
        Budget("memory without guests", memory / 1e9, AGENTS_GB, "GB"),
        Budget("idle CPU", idle_percent, IDLE_PERCENT, "% of a core"),
        Budget("disk, with images and snapshot", disk / 1e9, 10, "GB"),
    ]


def measure_snapshot(*options: str) -> list[Budget]:
    """`up` from the snapshot of this machine's cache, what it takes of the processors and of memory, and idle CPU after
    it. options: of `up`."""
    try:
        up(*options)
        migrascope("down", "--purge")
        snapshot_s = up(*options)
        took_s = sum(seconds for name, seconds in usage(Testbed(NAME)).items() if " " not in name)
        memory, most = memory_bytes(), OVN_GB if Testbed(NAME).settings.network == "ovn" else AGENTS_GB
        time.sleep(SETTLED_S)
        idle_percent = print_idle(idle(Testbed(NAME)))
    finally:
        migrascope("down", "--purge")
    return [
        Budget("up from the snapshot", snapshot_s, SNAPSHOT_S, "s"),
        Budget("memory without guests", memory / 1e9, most, "GB"),
        Budget("processor time of the nodes for that", took_s, SNAPSHOT_CPU_S, "s"),
        Budget("idle CPU", idle_percent, IDLE_PERCENT, "% of a core"),
    ]


def own_cache() -> int:
    """This program again, where the cache is an empty folder; its exit code."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="migrascope-benchmark-") as folder:
        argv = ["unshare", "--mount", "--propagation=unchanged", "sh", "-euc", _OWN_CACHE, "sh", str(CACHE), folder]
        return subprocess.run(
            [*argv, sys.executable, *sys.argv], env=os.environ | {_INSIDE: "1"}, check=False
        ).returncode


def main() -> int:
    if sys.argv[1:2] == ["--idle-only"]:
        print(f"{print_idle(idle(Testbed(sys.argv[2]))):.1f} % of a core")
        return 0
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    if sys.argv[1:2] == ["--snapshot-only"]:
        budgets = measure_snapshot(*sys.argv[2:])
        print(f"load of this machine in the last minutes: {os.getloadavg()}", *budgets, sep="\n")
        return int(not all(budget.met for budget in budgets))
    if _INSIDE not in os.environ:
        return own_cache()
    here = environment()
    print(f"{here['cpu']}, {here['cores']} cores used, {here['memory_bytes'] / 2**30:.0f} GiB, kernel {here['kernel']}")
    budgets = measure()
    print(*budgets, sep="\n")
    print("Others' times, as they are given: DevStack 15 to 40 min, OpenStack-Ansible's all-in-one 30 to 120 min.")
    return int(not all(budget.met for budget in budgets))


if __name__ == "__main__":
    sys.exit(main())
