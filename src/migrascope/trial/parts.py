"""The parts of a trial of one instance, in the order in which they are set up. Searches and calibration take some."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from migrascope.lab.contract import Instance, Lab, address_over
from migrascope.lab.steering import Steered, Steering
from migrascope.model import stamp
from migrascope.model.clock import mono_s
from migrascope.model.disturbance import Disturbance
from migrascope.model.family import FIRST, SECOND, Family, host_of
from migrascope.model.plan import EchoKind
from migrascope.model.problem import NotThere, Problem
from migrascope.model.schedule import Factors
from migrascope.node.process_spec import ProcessSpec
from migrascope.node.wait import WaitTimeout, wait_until
from migrascope.trial.agent_client import SLOW_S, AgentClient
from migrascope.trial.boot import await_boot
from migrascope.trial.disturbing import Disturbing
from migrascope.trial.programs import agent_url, process_specs
from migrascope.trial.setup import Part, Setup, machine, programs
from migrascope.trial.witnesses import Ledger
from migrascope.workload.scenario import ScenarioWorkload, scenario

_WRITER_EVERY_S = 0.25
_WRITER_READY_S = 60.0
_REFLECTOR_READY_S = 30.0
_STREAM_S, _STREAM_ANSWER_S, _STREAM_AGAIN_S = 15.0, 5.0, 0.5
_PLAYLIST = b"#EXTM3U"
_OVER_SECOND_S, _OVER_SECOND_AGAIN_S = 60.0, 0.2
"""Maximum time for a guest that answers over the first family to do so over the second; its kernel tries an address for
duplicates for 1 to 2 s while the guest boots, and a router may let it wait for an advertisement."""
_NO_STREAM = {
    "403": "the origin refuses the guest: its packets come there from another address than its own, by NAT on the way",
    "502": "the guest's connection to the origin is refused",
    "504": "the guest gets no answer from the origin: its packets, or the answers, are dropped on the way",
}
"""By the status that the guest's relay answers with: what that says."""


class TrialFailed(Problem):
    """A trial that cannot go on; the message is its reason."""


class NoAnswer(NotThere):
    """A guest that does not answer over one of the plan's families; the message says what is known, and what would
    help."""


class NoStream(NotThere):
    """A live stream that does not come to its viewers; the message says what is known, and the next command."""


@dataclass
class Trial(Setup):
    """A trial of one instance. settings: of the migration, as they were read back. What is not given is set by the
    parts; disturbing: None where nothing disturbs it."""

    lab: Lab
    factors: Factors
    source: str
    destination: str
    settings: dict[str, Any]
    instance: Instance = field(init=False)
    guest: AgentClient = field(init=False)
    workload: ScenarioWorkload = field(init=False)
    boot_id: str = field(init=False)
    disturbing: Disturbing | None = None

    @property
    def disturbance(self) -> Disturbance | None:
        """What the plan's table says that disturbs it."""
        return self.plan.disturbances().get(self.factors.disturbance)

    def pids(self) -> dict[str, int]:
        return self.instance.pids() | super().pids()

    def check(self) -> None:
        super().check()
        if problem := self.instance.problem():
            raise TrialFailed(problem)

    def member(self, source: str, module: str, **config: Any) -> ProcessSpec:
        """A program at the client's."""
        return ProcessSpec(source, f"migrascope.{module}", "client", self.client, config)


@asynccontextmanager
async def instance(trial: Trial) -> AsyncIterator[None]:
    """The instance, which has booted."""
    began = mono_s()
    made = await trial.lab.create(trial.instance_id, trial.factors, trial.source, trial.folder)
    try:
        trial.instance = made
        trial.guest = AgentClient(agent_url(made.address), trial.client, trial.runtime)
        await await_boot(made, trial.guest, trial.plan.windows.boot_limit, trial.say)
        trial.facts["boot_s"] = round(mono_s() - began, 3)
        viewers = trial.plan.visitors.viewers
        trial.workload = scenario(trial.factors.scenario, viewers, trial.lab.origin)
        yield
    finally:
        await made.destroy()


@asynccontextmanager
async def second_family(trial: Trial) -> AsyncIterator[None]:
    """The website answers over the second family, too, where the plan has it. NoAnswer where it does not, for nothing
    would become steady, and nothing say why."""
    if SECOND in trial.plan.families:
        answer = "none"
        url = f"http://{host_of(address_over(trial.instance, SECOND))}{trial.workload.page_path}"

        async def answers() -> bool:
            nonlocal answer
            trial.check()
            try:
                await trial.runtime.request(trial.client, url, timeout_s=1.0)
            except OSError as error:
                answer = str(error)
                return False
            return True

        try:
            await wait_until(answers, _OVER_SECOND_S, f"the guest answers over {SECOND}", _OVER_SECOND_AGAIN_S)
        except WaitTimeout:
            raise NoAnswer(_without_second(trial, answer)) from None
    yield


def _without_second(trial: Trial, answer: str) -> str:
    """What is known of a guest without an answer over the second family, and the next command."""
    first, second = (address_over(trial.instance, family) for family in (FIRST, SECOND))
    named = trial.plan.libvirt.guest is not None and trial.plan.libvirt.guest.address6
    keys = ", or in the plan other libvirt.guest.address6 (nobody else's) and gateway6 (the way back)" if named else ""
    return (
        f"the guest on {trial.source} does not answer over {SECOND}, at {second}, for {_OVER_SECOND_S:g} s: {answer}; "
        f"over {FIRST}, at {first}, it does\n"
        f"  next: let ICMPv6 and TCP through every firewall on the way{keys}, or leave {SECOND} out of families"
    )


@asynccontextmanager
async def live_stream(trial: Trial) -> AsyncIterator[None]:
    """The live stream, where the page holds one: it comes as its viewers ask for it. NoStream where it does not, for
    viewers without a stream say nothing of a migration."""
    if trial.workload.needs_origin:
        (viewer,) = scenario(trial.factors.scenario, 1, trial.lab.origin).viewers
        url, answer = viewer.url(trial.instance.address), "none"

        async def comes() -> bool:
            nonlocal answer
            trial.check()
            try:
                status, body = await trial.runtime.request(trial.client, url, timeout_s=_STREAM_ANSWER_S)
            except OSError as error:
                answer = str(error)
                return False
            answer = str(status)
            return status == 200 and body.startswith(_PLAYLIST)

        try:
            await wait_until(comes, _STREAM_S, "the live stream comes", _STREAM_AGAIN_S)
        except WaitTimeout:
            raise NoStream(_without_stream(trial, url, answer, relayed=viewer.outside is None)) from None
    yield


def _without_stream(trial: Trial, url: str, answer: str, *, relayed: bool) -> str:
    """What is known of a stream that does not come, and the next command. answer: a status or an error."""
    why = f"; {_NO_STREAM[answer]}" if relayed and answer in _NO_STREAM else ""
    origin, guest = trial.lab.origin, trial.instance.address
    asks = f"{guest} (the guest, on {trial.source})" if relayed else "the visitors"
    keys = {"libvirt.guest.origin": trial.plan.libvirt.guest is not None, "cloud.origin": bool(trial.plan.cloud.name)}
    key = next((key for key, names_it in keys.items() if names_it), "")
    other = f", or name another address of this machine: {key} in the plan" if key else ""
    return (
        f"no live stream for the scenario {trial.factors.scenario}: {url} answered {answer} for {_STREAM_S:g} s{why}\n"
        f"  next: let TCP from {asks} to the origin, {origin}, through every firewall on the way, and no NAT{other}"
    )


@asynccontextmanager
async def settings(trial: Trial) -> AsyncIterator[None]:
    """The migration is ready to be asked for, with the limit with which whoever changes it while it runs begins.
    TrialFailed where somebody is to, and the lab has no way."""
    factors = trial.factors
    controller = trial.plan.chosen_policies()[factors.policy].controller(factors.downtime_limit_s, factors.memory_bytes)
    if controller is not None:
        if not isinstance(trial.instance, Steered):
            raise TrialFailed(f"policy {factors.policy}: this lab cannot change a migration that runs")
        steering = Steering(controller, lambda at_ns, done: trial.events.add_at("controller", at_ns, **done))
        trial.instance.steer(steering)
        factors = replace(factors, downtime_limit_s=controller.first_s)
    trial.settings.update(await trial.instance.prepare(trial.destination, factors))
    yield


@asynccontextmanager
async def memory(trial: Trial) -> AsyncIterator[None]:
    """What the guest's memory holds: the video in its cache, or not, and incompressible pages."""
    if trial.factors.scenario == "offline":
        path = f"/cache?state={trial.factors.cache}"
        trial.facts["cache"] = await trial.guest.ask(path, post=True, timeout_s=60)
    if resident := trial.factors.resident_bytes:
        await trial.guest.ask(f"/resident?bytes={resident}", post=True, timeout_s=120)
    yield


@asynccontextmanager
async def writer(trial: Trial) -> AsyncIterator[None]:
    """The guest's steady writer, where the plan has one: its working set is filled, and it writes."""
    factors = trial.factors
    if factors.write_Bps:
        work = f"rate={factors.write_Bps:.0f}&set={factors.write_set_bytes}&pattern={factors.write_pattern}"
        await trial.guest.ask(f"/stress?kind=memory&{work}", post=True, timeout_s=SLOW_S)
        await _works(trial.guest, "/stress", _WRITER_READY_S, "the writer in the guest", "fills its working set")
    yield


@asynccontextmanager
async def incarnation(trial: Trial) -> AsyncIterator[None]:
    """By what the guest is known again."""
    trial.boot_id = (await trial.guest.ask("/alive?id=start"))["boot_id"]
    yield


@asynccontextmanager
async def reflector(trial: Trial) -> AsyncIterator[None]:
    """The reflector of STAMP in the guest, where the plan has probes for it: it takes packets."""
    if trial.observed and trial.plan.probes.stamp_rate:
        await begin_reflector(trial.guest)
    yield


async def begin_reflector(guest: AgentClient) -> None:
    """Starts it, and waits until it takes packets. Problem where it fails or takes too long."""
    await guest.ask(f"/reflector?port={stamp.PORT}", post=True)
    await _works(guest, "/reflector", _REFLECTOR_READY_S, "the reflector in the guest", "takes packets")


@asynccontextmanager
async def observers(trial: Trial) -> AsyncIterator[None]:
    """Probes, visitors and viewers, and the lab's own."""
    lab, plan = trial.instance, trial.plan
    echo: dict[Family, EchoKind] = {}
    for family in plan.families:
        echo[family] = await trial.echo_kind(address_over(lab, family))
    trial.facts["echo_kind"] = echo[FIRST]
    await trial.processes.start(
        process_specs(trial.client, lab, plan, trial.workload, observed=trial.observed, echo=echo)
    )
    yield


@asynccontextmanager
async def load_watch(trial: Trial) -> AsyncIterator[None]:
    """What records how far the load in the guest is, where there is some."""
    planned = trial.disturbance
    if trial.observed and (trial.factors.write_Bps or (planned is not None and planned.made.in_guest)):
        agent = agent_url(trial.instance.address)
        await trial.processes.start([trial.member("stress", "probe.stress", url=agent, interval_s=_WRITER_EVERY_S)])
    yield


@asynccontextmanager
async def ledger(trial: Trial) -> AsyncIterator[None]:
    """The guest's ledger and its collector."""
    if rate := trial.plan.verdict.ledger:
        made = Ledger(trial.instance, trial.client, trial.runtime)
        await trial.processes.start([made.collector()])
        await made.begin(trial.guest, rate)
    yield


@asynccontextmanager
async def disturbance(trial: Trial) -> AsyncIterator[None]:
    """The disturbance, armed; with a sink at the client's where it is the guest's network load."""
    planned = trial.disturbance
    lasts = planned is not None and planned.when in ("trial", "window")
    trial.facts["declared_load"] = bool(trial.factors.write_Bps) or lasts
    if planned is None:
        yield
        return
    sends = planned.kind == "guest-network"
    swallows = await _begin_sink(trial) if sends else ""
    armed = await Disturbing.armed(planned, trial.instance, trial.destination, trial.guest, swallows)
    trial.disturbing = armed
    try:
        yield
    finally:
        await armed.end(trial.opened, trial.instance_id, trial.migration_id)


async def _begin_sink(trial: Trial) -> str:
    """Starts what takes the guest's network load. Gives where the guest sends, as guest/stress.py wants it."""
    address, port = trial.runtime.free_port(trial.client, trial.instance.address, socket.SOCK_STREAM)
    await trial.processes.start([trial.member("sink", "workload.sink", address=address, port=port)])
    return f"{address}:{port}"


async def _works(guest: AgentClient, path: str, limit_s: float, who: str, does: str) -> None:
    """Waits until every worker of the agent's runs. Problem where one fails, or it takes too long."""

    async def work() -> bool:
        workers = (await guest.ask(path, timeout_s=SLOW_S))["workers"]
        if failed := [worker["reason"] for worker in workers if worker["state"] == "failed"]:
            raise Problem(f"{who} failed: {failed[0]}")
        return all(worker["state"] == "running" for worker in workers)

    await wait_until(work, limit_s, f"{who} {does}", 0.1)


ORDER: tuple[Part[Trial], ...] = (
    instance, second_family, live_stream, settings, memory, writer, incarnation, programs, reflector, observers,
    load_watch, ledger, machine, disturbance,
)  # fmt: skip
"""A whole trial. Load in the guest comes before the probes, since it takes long to begin; the disturbance comes last,
and goes first, since it must be healed whatever else fails."""
