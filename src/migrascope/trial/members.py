"""Who observes and who visits in a trial, from the plan and the scenario."""

from typing import Any

from migrascope.lab.qemu.instance import Instance
from migrascope.lab.qemu.lab import QemuLab
from migrascope.lab.qemu.topology import INSTANCE_ADDRESS
from migrascope.model.plan import Plan
from migrascope.trial.crew import Member
from migrascope.workload.scenario import ScenarioWorkload

INTERVAL_S = 0.1


def members(
    lab: QemuLab, instance: Instance, plan: Plan, workload: ScenarioWorkload, *, observed: bool
) -> list[Member]:
    """The programs of a trial but for the one that watches the machine.

    Not observed, only two are left, which do nothing between the migration's begin and its end: QEMU's events, since
    they come unasked, and the links' counters, read once before and once after.
    """
    nodes = lab.topology.nodes
    interval = INTERVAL_S if observed else 0.0

    def member(source: str, module: str, node: str, **config: Any) -> Member:
        space = lab.topology.fabric if node == "fabric" else nodes[node]
        return Member(source, f"migrascope.{module}", node, space, config)

    always = [
        member("qmp", "probe.qmp", "fabric", hosts=instance.probe_sockets(), interval_s=interval),
        member("link", "probe.link", "fabric", ports=lab.topology.ports(), interval_s=interval),
    ]
    if not observed:
        return always
    website, agent = f"http://{INSTANCE_ADDRESS}", f"http://{INSTANCE_ADDRESS}:8080"
    probes = [
        member("echo", "probe.echo", "client", target=INSTANCE_ADDRESS, rate=plan.probes.echo_rate),
        member("liveness", "probe.liveness", "client", url=agent, interval_s=interval),
    ]
    people = [
        member(f"viewer-{number}", "workload.viewer", "client", kind=viewer.kind, url=viewer.url, live=viewer.live)
        for number, viewer in enumerate(workload.viewers, start=1)
    ]
    visitors = plan.visitors
    if visitors.new_rate or visitors.kept_rate:
        config = visitors.model_dump(include={"new_rate", "kept_rate", "kept_connections"})
        url = website + workload.page_path
        people.append(member("visitors", "workload.visitors", "client", url=url, seed=plan.seed, **config))
    return always + probes + people


def machine_watch(lab: QemuLab, processes: dict[str, int]) -> Member:
    """What watches the machine, and the CPU time of QEMU and of the other programs (pids by name)."""
    config = {"processes": processes, "interval_s": INTERVAL_S}
    return Member("machine", "migrascope.probe.machine", "client", lab.topology.nodes["client"], config)
