"""Who observes and who visits in a trial, from the plan and the scenario."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from migrascope.lab.contract import Instance, address_over
from migrascope.model import stamp
from migrascope.model.family import FIRST, Family, host_of, source_of
from migrascope.model.plan import CapturePlan, EchoKind, Plan
from migrascope.node.namespace import Namespace
from migrascope.node.process_spec import ProcessSpec
from migrascope.workload.scenario import ScenarioWorkload

SNIFFER = "sniffer"
INTERVAL_S = 0.1
AGENT_PORT = 8080


def agent_url(address: str) -> str:
    """Where the agent of the guest at an address is asked."""
    return f"http://{host_of(address)}:{AGENT_PORT}"


def process_specs(
    client: Namespace | None, instance: Instance, plan: Plan, workload: ScenarioWorkload, *, observed: bool,
    echo: Mapping[Family, EchoKind],
) -> list[ProcessSpec]:  # fmt: skip
    """The programs of a trial but for the one that watches the machine. echo: the kind of probe that gets through, over
    each of the plan's families.

    Not observed, only the lab's own are left, which do nothing between the migration's begin and its end: the
    hypervisor's events, since they come unasked, and the links' counters, read once before and once after.
    """
    if not observed:
        return instance.watchers(0.0)

    def member(source: str, module: str, **config: Any) -> ProcessSpec:
        return ProcessSpec(source, f"migrascope.{module}", "client", client, config)

    probes = []
    for family in plan.families:
        address, source = address_over(instance, family), partial(source_of, family=family)
        probes += [
            member(source("echo"), "probe.echo", target=address, rate=plan.probes.echo_rate, kind=echo[family]),
            member(source("liveness"), "probe.liveness", address=address, port=AGENT_PORT, interval_s=INTERVAL_S),
        ]
        if rate := plan.probes.stamp_rate:
            probes.append(member(source("stamp"), "probe.stamp", target=address, port=stamp.PORT, rate=rate))
    if plan.capture.enabled:
        origins = [viewer.outside.partition(":")[0] for viewer in workload.viewers if viewer.outside]
        website = [address_over(instance, family) for family in plan.families]
        probes.append(capture_member(client, [*website, *origins], plan.capture))
    everybody = [
        person
        for family in plan.families
        for person in people(client, address_over(instance, family), plan, workload, family)
    ]
    return instance.watchers(INTERVAL_S) + probes + everybody


def people(
    client: Namespace | None, address: str, plan: Plan, workload: ScenarioWorkload, family: Family = FIRST
) -> list[ProcessSpec]:
    """Who uses the website at an address, which is of that family: visitors, viewers, and, over the first family, the
    browser where the plan asks for one."""

    def member(source: str, module: str, **config: Any) -> ProcessSpec:
        return ProcessSpec(source, f"migrascope.workload.{module}", "client", client, config)

    found = [
        member(name, "viewer", kind=viewer.kind, url=viewer.url(address), live=viewer.live)
        for name, viewer in workload.viewers_over(family).items()
    ]
    if plan.visitors.browser and workload.has_video and family == FIRST:
        found.append(member("browser", "browser", url=_url(address, workload)))
    return found + visitors(client, address, plan, workload, family)


def visitors(
    client: Namespace | None, address: str, plan: Plan, workload: ScenarioWorkload, family: Family
) -> list[ProcessSpec]:
    """Who visits the website at an address, at the plan's rates; nobody where they are 0."""
    new, kept = plan.visitors.rates
    if not new and not kept:
        return []
    rates = {"new_rate": new, "kept_rate": kept, "kept_connections": plan.visitors.kept_connections}
    config = {"url": _url(address, workload), "seed": plan.seed, **rates}
    return [ProcessSpec(source_of("visitors", family), "migrascope.workload.visitors", "client", client, config)]


def _url(address: str, workload: ScenarioWorkload) -> str:
    return f"http://{host_of(address)}{workload.page_path}"


def capture_member(client: Namespace | None, addresses: Sequence[str], plan: CapturePlan) -> ProcessSpec:
    """Captures what passes between the client and these addresses, the website's first, which is of IPv4."""
    config = {"addresses": list(dict.fromkeys(addresses)), "snaplen": plan.snaplen}
    return ProcessSpec(SNIFFER, "migrascope.probe.capture", "client", client, config)


def machine_watch(processes: dict[str, int]) -> ProcessSpec:
    """What watches the machine, and the CPU time of these processes (pids by name)."""
    config = {"processes": processes, "interval_s": INTERVAL_S}
    return ProcessSpec("machine", "migrascope.probe.machine", "client", None, config)
