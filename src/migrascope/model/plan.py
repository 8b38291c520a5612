"""A plan: what to migrate, how often and under what, as a TOML file says it. Units are written out."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from migrascope.model import units
from migrascope.model.verdict import Verdict


def _quantity(parse: Any, text: Any) -> Any:
    def read(value: Any) -> Any:
        if isinstance(value, str):
            return parse(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError("write a number and its unit in quotes")
        raise ValueError(f"{value!r} has no unit: write it in quotes, as in {text(value)!r}")

    return read


Duration = Annotated[
    float,
    BeforeValidator(_quantity(units.parse_duration, units.duration_text)),
    PlainSerializer(units.duration_text, when_used="json"),
]
Rate = Annotated[
    float,
    BeforeValidator(_quantity(units.parse_rate, units.rate_text)),
    PlainSerializer(units.rate_text, when_used="json"),
]
Size = Annotated[
    int,
    BeforeValidator(_quantity(units.parse_size, units.size_text)),
    PlainSerializer(units.size_text, when_used="json"),
]

Scenario = Literal["none", "offline", "online", "relay"]
Cache = Literal["warm", "cold"]
Policy = Literal["pre-copy"]
Observed = Literal["all", "none"]
EchoKind = Literal["auto", "icmp", "tcp"]
FOREIGN_ECHO_RATE = 50.0
"""Probes a second by default where others own the cloud: 500 would look like an attack."""
LINKS = ("management", "storage", "migration", "tenant", "external")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class LabPlan(_Part):
    """Where instances live. qemu_program: another QEMU than the host image's, a path on this machine."""

    kind: Literal["qemu", "openstack", "fake"] = "qemu"
    accelerator: Literal["auto", "kvm", "tcg"] = "auto"
    qemu_program: str | None = None


class CloudPlan(_Part):
    """The cloud of the lab "openstack".

    name: in clouds.yaml; without one it is the testbed of that name. image, flavor, network, external: by name or id;
    empty: found there, and the website's image uploaded where it is not. hosts: libvirt's URI of each host in reach, by
    the host's name in Compute. visitors: the network namespace from which floating IPs are reached; empty: this
    machine. origin: the address at which instances reach this machine's live stream; empty: none, and no online
    video."""

    name: str = ""
    testbed: str = "testbed"
    image: str = ""
    flavor: str = ""
    network: str = ""
    external: str = ""
    hosts: dict[str, str] = Field(default_factory=dict)
    visitors: str = ""
    origin: str = ""


class InstancePlan(_Part):
    vcpus: int = Field(1, ge=1, le=8)


class Axes(_Part):
    """Every list is a factor; a block holds each combination once. probes "none" leaves out every probe, visitor and
    viewer: the other half of an observer-effect pair. resident: incompressible memory that the guest holds."""

    scenario: list[Scenario] = Field(default=["none", "offline", "online", "relay"], min_length=1)
    policy: list[Policy] = Field(default=["pre-copy"], min_length=1)
    memory: list[Size] = Field(default=[2**30], min_length=1)
    link: list[Rate] = Field(default=[1e9], min_length=1)
    downtime_limit: list[Duration] = Field(default=[0.3], min_length=1)
    cache: list[Cache] = Field(default=["warm"], min_length=1)
    resident: list[Size] = Field(default=[0], min_length=1)
    probes: list[Observed] = Field(default=["all"], min_length=1)

    @model_validator(mode="after")
    def _sane(self) -> Self:
        for name, values in self:
            if len(set(values)) != len(values):
                raise ValueError(f"{name} holds the same value twice")
        if any(memory < 256 * 2**20 for memory in self.memory):
            raise ValueError("memory: the guest needs 256MiB at least")
        if max(self.resident) + 256 * 2**20 > min(self.memory):
            raise ValueError("resident: the guest needs 256MiB of its memory for itself")
        if any(rate < 1e6 for rate in self.link):
            raise ValueError("link: 1mbit at least")
        if any(limit <= 0 for limit in self.downtime_limit):
            raise ValueError("downtime_limit must be more than zero")
        return self


class Windows(_Part):
    """before: steady state observed; after it is as long. limit: the longest migration, and the longest recovery."""

    before: Annotated[Duration, Field(gt=0)] = 5.0
    limit: Annotated[Duration, Field(gt=0)] = 60.0
    boot_limit: Annotated[Duration, Field(gt=0)] = 90.0
    steady_limit: Annotated[Duration, Field(gt=0)] = 30.0


class Probes(_Part):
    """The prober's packets: kind, and how many in a second. icmp: echo requests; tcp: handshakes with the website's
    port; auto: icmp if it gets through, else tcp."""

    echo_kind: EchoKind = "icmp"
    echo_rate: float = Field(500.0, gt=0, le=2000)


class Visitors(_Part):
    """Open-loop visits per second of each kind, viewers of video, and the player's buffer that player_stall_s uses."""

    new_rate: float = Field(50.0, ge=0, le=500)
    kept_rate: float = Field(50.0, ge=0, le=500)
    kept_connections: int = Field(10, ge=1, le=100)
    viewers: int = Field(2, ge=0, le=16)
    live_buffer: Duration = 0.5
    file_buffer: Duration = 2.0


class CapturePlan(_Part):
    """A capture of the visitors' network beside the probes, and how many bytes of each packet it keeps: by default
    its headers."""

    enabled: bool = False
    snaplen: int = Field(128, ge=96, le=65535)


class VerdictPlan(_Part):
    """ledger: records a second that the guest writes, syncs and reports, 0 for none. outage: the longest silence of the
    website that is no loss of service. allow: the worst verdict on a trial with which a run is good."""

    ledger: float = Field(5.0, ge=0, le=50)
    outage: Annotated[Duration, Field(gt=0)] = 3.0
    allow: Verdict = "unknown"


class Plan(_Part):
    """A whole plan. blocks: how often each combination of the axes is tried, once in every block."""

    name: str = Field("plan", pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")
    seed: int = Field(1, ge=0)
    blocks: int = Field(6, ge=1, le=1000)
    lab: LabPlan = LabPlan()
    cloud: CloudPlan = CloudPlan()
    instance: InstancePlan = InstancePlan()
    axes: Axes = Axes()
    windows: Windows = Windows()
    probes: Probes = Probes()
    visitors: Visitors = Visitors()
    capture: CapturePlan = CapturePlan()
    verdict: VerdictPlan = VerdictPlan()

    def base_units(self) -> dict[str, Any]:
        """The whole plan as plain data with every quantity in base units (s, bit/s, B), for recordings and reports."""
        values = _plain(self)
        assert isinstance(values, dict)
        return values


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return {name: _plain(getattr(value, name)) for name in type(value).model_fields}
    return list(value) if isinstance(value, list) else value
