"""What watching a fleet costs: memory of this process and requests to the API, on the fake cloud of the tests.

python benchmarks/fleet.py [INSTANCES [REQUESTS_PER_SECOND]]
"""

import asyncio
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "unit")]

from fakecloud import FakeCloud  # noqa: E402

from migrascope.cloud.client import Cloud  # noqa: E402
from migrascope.lab.boot_image import BootImage  # noqa: E402
from migrascope.lab.openstack.access import CloudAccess  # noqa: E402
from migrascope.lab.openstack.lab import OpenstackLab, hypervisors  # noqa: E402
from migrascope.lab.openstack.ownership import InstanceRequest  # noqa: E402
from migrascope.lab.openstack.resources import Ground, Resources  # noqa: E402
from migrascope.metrics.trial import measure  # noqa: E402
from migrascope.model.schedule import schedule  # noqa: E402
from migrascope.node.machine import TAG  # noqa: E402
from migrascope.node.namespace import Namespace  # noqa: E402
from migrascope.node.register import Register  # noqa: E402
from migrascope.store.runfolder import RunFolder  # noqa: E402
from migrascope.study.plans import parse, text_of  # noqa: E402
from migrascope.trial.fleet import FleetEngine  # noqa: E402
from migrascope.trial.runtime import MachineRuntime  # noqa: E402

MIGRATION_S, AT_ONCE = 2.0, 50
MOST_MEMORY = 10**9
SLACK = 0.05
"""What of ten seconds a request that comes late may make of the rate there."""
PLAN = """
blocks = 1
[lab]
kind = "openstack"
[axes]
scenario = ["none"]
probes = ["none"]
[windows]
before = "1s"
[fleet]
"""


class Booted(MachineRuntime):
    """Every guest answers that it is ready: none runs."""

    async def request(
        self, client: Namespace | None, url: str, *, post: bool = False, timeout_s: float
    ) -> tuple[int, bytes]:
        return 200, b"{}"


def client(count: int, rate: float, folder: Path) -> bool:
    """The tool's side, in a process of its own so that its memory is its own; whether its goals are met."""
    cloud = Cloud.connect("fake", folder / "clouds.yaml")
    register = Register.create(folder / "labs")
    resources = Resources(cloud, InstanceRequest(register.id, f"{TAG}-benchmark"))
    group = cloud.connection.network.create_security_group(name=register.id, description=resources.request.mark)
    networks = {net.name: net.id for net in cloud.connection.network.networks()}
    ground = Ground("image", 2**20, networks["inner"], networks["outer"], group.id)
    boot = BootImage(folder, folder, folder, "")
    facts = {"lab": "openstack", "accelerator": "tcg", "qemu": "none"}
    lab = OpenstackLab(resources, ground, CloudAccess(), register, hypervisors(cloud), None, 1, facts, boot)
    plan = parse(f"{PLAN}count = [{count}]\nrequests = {rate:g}\n", "benchmark")
    run = RunFolder.create(folder / "runs", text_of(plan), {"lab": "openstack"})
    began = time.monotonic()
    phases: list[tuple[float, str]] = []
    engine = FleetEngine(lab, plan, lambda phase: phases.append((time.monotonic() - began, phase)), Booted())
    (spec,) = schedule(plan)
    opened = run.open_trial(1)
    recording = run.seal_trial(opened, asyncio.run(engine.run(spec, opened)))
    figures = measure(recording)
    print(f"status             {recording.trial.status} {recording.trial.reason or ''}".rstrip())
    for key in ("fleet.migrated", "fleet.total_s", "fleet.at_once", "fleet.migration_time_s.median"):
        print(f"{key:30} {figures[key].value:.6g}")
    for at, phase in phases:
        print(f"{phase:10} begins after {at:6.1f} s")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"memory of the tool             {memory / 2**20:.0f} MiB")
    size = sum(path.stat().st_size for path in run.path.rglob("*") if path.is_file())
    print(f"run folder                     {size / 1e6:.2f} MB")
    return memory <= MOST_MEMORY and figures["fleet.migrated"].value == count


def main() -> int:
    if sys.argv[1:2] == ["--client"]:
        return 0 if client(int(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4])) else 1
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    rate = float(sys.argv[2]) if len(sys.argv) > 2 else 2.0
    with FakeCloud() as fake, tempfile.TemporaryDirectory() as folder:
        fake.quotas = dict.fromkeys(fake.quotas, 10**6)
        fake.nova.migration_s, fake.nova.at_once = MIGRATION_S, AT_ONCE
        fake.clouds_yaml(Path(folder))
        print(f"{count} instances, {rate:g} requests/s, {AT_ONCE} migrations of {MIGRATION_S:g} s at once")
        done = subprocess.run([sys.executable, __file__, "--client", str(count), str(rate), folder], check=False)
        actions = [at for at, asked in fake.requests if asked.endswith("/action")]
        over = max(at for at, asked in fake.requests if asked.endswith("/os-migrations"))
        looks = [at for at, asked in fake.requests if asked.startswith("GET") and actions[0] <= at <= over]
        busiest = max(sum(start <= at < start + 10 for at in looks) for start in looks) / 10
        print(f"requests in all                {len(fake.requests)}")
        print(f"migrations asked for           {len(actions)} in {actions[-1] - actions[0]:.1f} s")
        print(f"looks since then               {len(looks)}, {busiest:.1f}/s in the busiest 10 s")
    met = done.returncode == 0 and busiest <= rate * (1 + SLACK)
    print("goals met" if met else "goals missed")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
