"""Who observes and who visits in a trial, from the plan and the scenario."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from migrascope.lab.contract import Instance
from migrascope.model import stamp
from migrascope.model.plan import CapturePlan, Plan
from migrascope.node.namespace import Namespace
from migrascope.node.process_spec import ProcessSpec
from migrascope.workload.scenario import ScenarioWorkload

SNIFFER = "sniffer"
INTERVAL_S = 0.1
AGENT_PORT = 8080


def agent_url(address: str) -> str:
    """Where the agent of the guest at an address is asked."""
    return f"http://{address}:{AGENT_PORT}"


def process_specs(
    client: Namespace | None, instance: Instance, plan: Plan, workload: ScenarioWorkload, *, observed: bool, echo: str
) -> list[ProcessSpec]:
    """The programs of a trial but for the one that watches the machine. echo: the kind of probe that gets through.

    Not observed, only the lab's own are left, which do nothing between the migration's begin and its end: the
    hypervisor's events, since they come unasked, and the links' counters, read once before and once after.
    """
    if not observed:
        return instance.watchers(0.0)

    def member(source: str, module: str, **config: Any) -> ProcessSpec:
        return ProcessSpec(source, f"migrascope.{module}", "client", client, config)

    probes = [
        member("echo", "probe.echo", target=instance.address, rate=plan.probes.echo_rate, kind=echo),
        member("liveness", "probe.liveness", address=instance.address, port=AGENT_PORT, interval_s=INTERVAL_S),
    ]
    if rate := plan.probes.stamp_rate:
        probes.append(member("stamp", "probe.stamp", target=instance.address, port=stamp.PORT, rate=rate))
    if plan.capture.enabled:
        origins = [urlsplit(viewer.url).hostname for viewer in workload.viewers]
        probes.append(capture_member(client, [instance.address, *filter(None, origins)], plan.capture))
    return instance.watchers(INTERVAL_S) + probes + people(client, instance.address, plan, workload)


def people(client: Namespace | None, address: str, plan: Plan, workload: ScenarioWorkload) -> list[ProcessSpec]:
    """Who uses the website at an address: visitors, viewers, and the browser where the plan asks for one."""

    def member(source: str, module: str, **config: Any) -> ProcessSpec:
        return ProcessSpec(source, f"migrascope.workload.{module}", "client", client, config)

    found = [
        member(f"viewer-{number}", "viewer", kind=viewer.kind, url=viewer.url, live=viewer.live)
        for number, viewer in enumerate(workload.viewers, start=1)
    ]
    url = f"http://{address}{workload.page_path}"
    if plan.visitors.browser and workload.has_video:
        found.append(member("browser", "browser", url=url))
    new, kept = plan.visitors.rates
    if new or kept:
        config = {"new_rate": new, "kept_rate": kept, "kept_connections": plan.visitors.kept_connections}
        found.append(member("visitors", "visitors", url=url, seed=plan.seed, **config))
    return found


def capture_member(client: Namespace | None, addresses: Sequence[str], plan: CapturePlan) -> ProcessSpec:
    """Captures what passes between the client and these IPv4 addresses, the website's first."""
    config = {"addresses": list(dict.fromkeys(addresses)), "snaplen": plan.snaplen}
    return ProcessSpec(SNIFFER, "migrascope.probe.capture", "client", client, config)


def machine_watch(processes: dict[str, int]) -> ProcessSpec:
    """What watches the machine, and the CPU time of these processes (pids by name)."""
    config = {"processes": processes, "interval_s": INTERVAL_S}
    return ProcessSpec("machine", "migrascope.probe.machine", "client", None, config)
