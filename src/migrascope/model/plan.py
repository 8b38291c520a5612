"""A plan: what to migrate, how often and under what, as a TOML file says it. Units are written out."""

import math
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, model_validator

from migrascope.model.address import OptionalAddress
from migrascope.model.axes import STREAMED, Also, Axes
from migrascope.model.disturbance import NONE, Disturbance
from migrascope.model.family import FIRST, SECOND, Family
from migrascope.model.host_limits import not_on_hosts
from migrascope.model.hosts import HostsPlan
from migrascope.model.lab_limits import not_there
from migrascope.model.load import Load
from migrascope.model.name import ForeignName, Name, OptionalForeignName
from migrascope.model.observed import ObservedPlan
from migrascope.model.policy import BUILT_IN, Policy
from migrascope.model.quantity import DAY_S, Duration, Part
from migrascope.model.storage import refused as refused_storage
from migrascope.model.threshold import Threshold
from migrascope.model.verdict import Verdict
from migrascope.model.visitors import Visitors

EchoKind = Literal["auto", "icmp", "tcp"]
FOREIGN_ECHO_RATE = 50.0
"""Probes a second by default where others own the cloud: 500 would look like an attack."""
FOREIGN_VISITS = 10.0
"""The most visits a second of each kind that are found to fit there, where a plan does not allow more."""
MOST_TRIALS = 10_000
EMBEDDED = ("qemu", "libvirt")
"""The labs that are brought up on this machine for a run."""
LINKS = ("management", "storage", "migration", "tenant", "external")


class LabPlan(Part):
    """Where instances live; "qemu" and "libvirt": on two hosts that are brought up on this machine, unless
    libvirt.hosts names others; "address": anywhere, a command of the user moves one. qemu_program: another QEMU than
    the host image's, a path on this machine; the lab "qemu" only. stream_family: over which the memory goes between
    hosts that are brought up here."""

    kind: Literal["qemu", "openstack", "libvirt", "fake", "address"] = "qemu"
    accelerator: Literal["auto", "kvm", "tcg"] = "auto"
    qemu_program: str | None = None
    stream_family: Family = FIRST


class CloudPlan(Part):
    """The cloud of the lab "openstack".

    name: in clouds.yaml; without one it is the testbed of that name. image, flavor, network, external: by name or id;
    empty: found there, and the website's image uploaded where it is not. hosts: libvirt's URI of each host in reach, by
    the host's name in Compute. visitors: the network namespace from which floating IPs are reached; empty: this
    machine. origin: the address (IPv4) of this machine on whose port 80 the live stream is served, to all who reach
    it, instances and visitors among them; empty: none, and no online video."""

    name: str = ""
    testbed: Name = "testbed"
    image: str = ""
    flavor: str = ""
    network: str = ""
    external: str = ""
    hosts: dict[ForeignName, str] = Field(default_factory=dict)
    visitors: OptionalForeignName = ""
    origin: OptionalAddress = ""


class InstancePlan(Part):
    vcpus: int = Field(1, ge=1, le=8)


class Windows(Part):
    """before: steady state observed; after it is as long. limit: the longest migration, and the longest recovery."""

    before: Annotated[Duration, Field(gt=0, le=DAY_S)] = 5.0
    limit: Annotated[Duration, Field(gt=0, le=DAY_S)] = 60.0
    boot_limit: Annotated[Duration, Field(gt=0, le=DAY_S)] = 90.0
    steady_limit: Annotated[Duration, Field(gt=0, le=DAY_S)] = 30.0


class Probes(Part):
    """The prober's packets: kind, and how many in a second. icmp: echo requests; tcp: handshakes with the website's
    port; auto: icmp if it gets through, else tcp. stamp_rate: STAMP test packets a second to a reflector in the guest,
    0 for none: delay and loss of each way. dirty: what the guest holds and dirties is sampled before each migration,
    for predictions, by default where the lab can; it takes 8 s, and the window before the migration begins after it."""

    echo_kind: EchoKind = "icmp"
    echo_rate: float = Field(500.0, gt=0, le=2000)
    stamp_rate: float = Field(0.0, ge=0, le=1000)
    dirty: bool | None = None


class CapturePlan(Part):
    """A capture of the visitors' network beside the probes, and how many bytes of each packet it keeps: by default
    its headers."""

    enabled: bool = False
    snaplen: int = Field(128, ge=96, le=65535)


class FleetPlan(Part):
    """Several instances migrated from one host in a trial; the lab "openstack" only.

    count: how many; 1 is the one alone that the others are compared with. how: each after the one before, all asked for
    at once, or a drain of the host with so many under way (parallel). max_concurrent: Nova's
    max_concurrent_live_migrations, which is set on the testbed; on a cloud of others it is only recorded as stated.
    requests: how many a second may go to the API to look at them all."""

    count: list[Annotated[int, Field(ge=1, le=10000)]] = Field(default_factory=list)
    how: Literal["one-after-another", "at-once", "drain"] = "at-once"
    parallel: int = Field(2, ge=1, le=10000)
    max_concurrent: int = Field(1, ge=0, le=10000)
    requests: float = Field(2.0, gt=0, le=100)


class VerdictPlan(Part):
    """ledger: records a second that the guest writes, syncs and reports, 0 for none. outage: the longest silence of the
    website that is no loss of service. allow: the worst verdict on a trial with which a run is good."""

    ledger: float = Field(5.0, ge=0, le=50)
    outage: Annotated[Duration, Field(gt=0, le=DAY_S)] = 3.0
    allow: Verdict = "unknown"


class Plan(Part):
    """A whole plan. blocks: how often each combination of the axes is tried, once in every block. cells: so many of the
    combinations, drawn at random by the seed, where all would be too many; 0: all of them. also: combinations of
    other levels, tried in fewer blocks. policies: what the names in axes.policy stand for; they go before built-in ones
    of the same name. thresholds: what its figures are held against, by their keys. disturbance: what the names in
    axes.disturbance stand for. families: over what the instance is probed and visited, each at the rates of the plan;
    both are measured in the same trials."""

    name: Name = "plan"
    seed: int = Field(1, ge=0, lt=2**63)
    blocks: int = Field(6, ge=1, le=1000)
    cells: int = Field(0, ge=0, le=MOST_TRIALS)
    families: list[Family] = Field(default=[FIRST], min_length=1)
    lab: LabPlan = LabPlan()
    cloud: CloudPlan = CloudPlan()
    libvirt: HostsPlan = HostsPlan()
    observed: ObservedPlan = ObservedPlan()
    instance: InstancePlan = InstancePlan()
    axes: Axes = Axes()
    also: Also | None = None
    policies: dict[Name, Policy] = Field(default_factory=dict)
    windows: Windows = Windows()
    probes: Probes = Probes()
    visitors: Visitors = Visitors()
    capture: CapturePlan = CapturePlan()
    fleet: FleetPlan = FleetPlan()
    verdict: VerdictPlan = VerdictPlan()
    thresholds: dict[str, Threshold] = Field(default_factory=dict)
    disturbance: list[Disturbance] = Field(default_factory=list)

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.also is not None:
            if self.also.blocks > self.blocks:
                raise ValueError(f"also.blocks: {self.also.blocks}, and the plan has {self.blocks}")
            if problem := self.also.axes(self.axes).problem():
                raise ValueError(f"also.{problem}")
        each = len(self.fleet.count) or 1
        if self.cells:
            if self.also is not None:
                raise ValueError("cells: a plan that draws its cells has no second part, [also]")
            if self.cells > (there := _combinations(self.axes) * each):
                raise ValueError(f"cells: {self.cells}, and the axes make {there}")
        trials = self.blocks * self.cells or sum(blocks * _combinations(axes) for blocks, axes in self.parts()) * each
        if trials > MOST_TRIALS:
            raise ValueError(f"blocks and axes make {trials} trials, {MOST_TRIALS} at most: fewer blocks, or two plans")
        return self

    def parts(self) -> list[tuple[int, Axes]]:
        """The axes of each part, with the number of blocks from the first on that hold it."""
        also = [] if self.also is None else [(self.also.blocks, self.also.axes(self.axes))]
        return [(self.blocks, self.axes), *also]

    @model_validator(mode="after")
    def _known(self) -> Self:
        known = [*dict.fromkeys([*self.policies, *BUILT_IN])]
        for name in self.axes.policy:
            if name not in known:
                raise ValueError(f"axes.policy: {name!r} has no table [policies.{name}]; known: {', '.join(known)}")
        return self

    @model_validator(mode="after")
    def _of_its_lab(self) -> Self:
        if self.families not in ([FIRST], [FIRST, SECOND]):
            raise ValueError(f'families: ["{FIRST}"], or ["{FIRST}", "{SECOND}"], whose figures are set against those')
        if problem := not_there(self):
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _shown(self) -> Self:
        if not self.visitors.browser:
            return self
        if self.lab.kind == "fake":
            raise ValueError("visitors.browser: the lab fake has no website that a browser could show: --lab qemu")
        if self.axes.scenario == ["none"]:
            raise ValueError("visitors.browser: the page of the scenario none holds no video; leave it out")
        return self

    @model_validator(mode="after")
    def _fleets(self) -> Self:
        axes = self.axes
        if not self.fleet.count:
            return self
        if self.lab.kind != "openstack":
            raise ValueError(f"fleet: several instances need the lab openstack, not {self.lab.kind}: --lab openstack")
        if axes.scenario != ["none"] or any(axes.resident) or any(axes.write_rate) or self.capture.enabled:
            raise ValueError(
                "fleet: several instances serve the page of the scenario none, without a load of the guest or a capture"
            )
        if self.also is not None:
            raise ValueError("fleet: a plan of several instances has no second part, [also]")
        return self

    @model_validator(mode="after")
    def _at_an_address(self) -> Self:
        if self.lab.kind != "address":
            return self
        if problem := self.observed.problem():
            raise ValueError(f"observed: {problem}")
        if self.capture.enabled or self.probes.stamp_rate or self.visitors.fits or self.visitors.viewers:
            raise ValueError(
                "lab: at an address of others there is no capture, no stamp_rate and no viewer, and visits are numbers"
            )
        return self

    @model_validator(mode="after")
    def _on_their_hosts(self) -> Self:
        if problem := self.libvirt.problem():
            raise ValueError(f"libvirt.{problem}")
        if self.libvirt.hosts and (problem := not_on_hosts(self)):
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _disturbed(self) -> Self:
        tables = self.disturbances()
        if len(tables) != len(self.disturbance):
            raise ValueError("disturbance: two tables have the same name")
        for name in self.axes.disturbance:
            if name == NONE:
                continue
            if name not in tables:
                known = ", ".join([NONE, *tables])
                raise ValueError(f"axes.disturbance: {name!r} has no table [[disturbance]]; known: {known}")
            if problem := self._refused(tables[name]):
                raise ValueError(f"disturbance {name}: {problem}")
        return self

    @model_validator(mode="after")
    def _stored(self) -> Self:
        tables = self.disturbances()
        chosen = [tables[name] for name in self.axes.disturbance if name != NONE]
        if problem := refused_storage(self.axes.storage, self.lab.kind, self.chosen_policies(), chosen):
            raise ValueError(problem)
        return self

    def _refused(self, disturbance: Disturbance) -> str | None:
        axes = self.axes
        if problem := disturbance.refused_on(self.lab.kind):
            return problem
        if self.foreign and not disturbance.made.in_guest:
            whose = "a cloud of others is" if self.cloud.name else "hosts of others are"
            return f"{whose} not disturbed, only a lab of this machine is; load in the guest goes everywhere"
        for name, policy in self.chosen_policies().items():
            if problem := disturbance.refused_by(policy):
                return f"policy {name}: {problem}"
        written = max(axes.working_set) if any(axes.write_rate) else 0
        resident = max(max(part.resident) for _, part in self.parts())
        room = min(axes.memory) - resident - written - 256 * 2**20
        if disturbance.made.guest_bytes(disturbance) > room:
            return f"working_set: the guest has {max(0, room) // 2**20}MiB of memory for it"
        if disturbance.made.in_guest and written:
            return "load in the guest stands alone: axes.write_rate is another"
        if disturbance.when == "window" and disturbance.offset >= self.windows.before:
            return "offset: the window before the migration is not that long"
        return None

    @property
    def embedded(self) -> bool:
        """Whether its hosts are brought up on this machine for a run."""
        return self.lab.kind in EMBEDDED and not self.libvirt.hosts

    @property
    def streamed(self) -> list[str]:
        """Its scenarios whose video comes from the origin."""
        scenarios = dict.fromkeys(name for _, axes in self.parts() for name in axes.scenario)
        return [name for name in scenarios if name in STREAMED]

    @property
    def sampled(self) -> bool:
        """Whether what a guest holds and dirties is sampled before each migration."""
        return self.embedded if self.probes.dirty is None else self.probes.dirty

    @property
    def their_domain(self) -> bool:
        """Whether a domain of others is migrated, on their hosts."""
        return bool(self.libvirt.hosts) and self.libvirt.guest is None

    @property
    def foreign(self) -> bool:
        """Whether its hosts are others', with clocks and links of their own."""
        return bool(self.cloud.name or self.libvirt.hosts)

    def disturbances(self) -> dict[str, Disturbance]:
        """The tables [[disturbance]] by name."""
        return {table.name: table for table in self.disturbance}

    def chosen_policies(self) -> dict[str, Policy]:
        """The policies of the axis by name: the plan's own, else the built-in ones."""
        return {name: self.policies[name] if name in self.policies else BUILT_IN[name] for name in self.axes.policy}

    def loaded(self, load: Load) -> "Plan":
        """The plan with the rates and viewers of a load."""
        rates = {"new_rate": load.new_rate, "kept_rate": load.kept_rate, "viewers": load.viewers}
        return self.model_copy(update={"visitors": self.visitors.model_copy(update=rates)})

    def full_load(self) -> Load:
        """The load where nothing is found: the plan's numbers, and the most where it has none."""
        visitors = self.visitors
        rates = [visitors.most if isinstance(rate, str) else rate for rate in (visitors.new_rate, visitors.kept_rate)]
        return Load(rates[0], rates[1], visitors.viewers, "full" if visitors.fits else "plan")

    def base_units(self) -> dict[str, Any]:
        """The whole plan as plain data with every quantity in base units (s, bit/s, B), for recordings and reports."""
        values = _plain(self)
        assert isinstance(values, dict)
        return values


_OF_WRITERS = ("write_rate", "working_set", "pattern")


def _combinations(axes: Axes) -> int:
    """A writer that writes nothing has neither a working set nor a pattern."""
    writing = sum(map(bool, axes.write_rate))
    writers = writing * len(axes.working_set) * len(axes.pattern) + (writing < len(axes.write_rate))
    return writers * math.prod(len(levels) for name, levels in axes if levels and name not in _OF_WRITERS)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return {name: _plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value
