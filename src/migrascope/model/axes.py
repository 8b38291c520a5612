"""The axes of a plan: its factors and their levels."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from migrascope.model.disturbance import NONE
from migrascope.model.network import NetworkLevel
from migrascope.model.quantity import DAY_S, ByteRate, Duration, Part, Rate, Size
from migrascope.model.storage import SHARED, Storage

Scenario = Literal["none", "offline", "online", "relay"]
STREAMED: tuple[Scenario, ...] = ("online", "relay")
"""Those whose video comes from the origin."""
Cache = Literal["warm", "cold"]
Pattern = Literal["random", "sequential", "hot", "few"]
Observed = Literal["all", "none"]
Handover = Literal["qemu", "managed"]
MOST_MEMORY = 2**40
"""1 TiB."""


class Axes(Part):
    """Every list is a factor; a block holds each combination once. probes "none" leaves out every probe, visitor and
    viewer: the other half of an observer-effect pair. storage: whether both hosts reach the volume, or each has a file
    of its own and the migration copies it. resident: incompressible memory that the guest holds. vcpus: empty:
    instance.vcpus. write_rate: what a steady writer in the guest dirties (0: none), of a working set, in a pattern.
    disturbance: names of tables [[disturbance]], or "none". handover: who lets the destination
    run, QEMU itself or a manager's word; empty: as the lab does it. network: of the testbeds, of which one is up at a
    time; empty: the testbed's own."""

    scenario: list[Scenario] = Field(default=["none", "offline", "online", "relay"], min_length=1)
    policy: list[str] = Field(default=["pre-copy"], min_length=1)
    vcpus: list[Annotated[int, Field(ge=1, le=8)]] = Field(default_factory=list)
    memory: list[Size] = Field(default=[2**30], min_length=1)
    link: list[Rate] = Field(default=[1e9], min_length=1)
    downtime_limit: list[Duration] = Field(default=[0.3], min_length=1)
    cache: list[Cache] = Field(default=["warm"], min_length=1)
    storage: list[Storage] = Field(default=[SHARED], min_length=1)
    resident: list[Size] = Field(default=[0], min_length=1)
    write_rate: list[ByteRate] = Field(default=[0.0], min_length=1)
    working_set: list[Size] = Field(default=[128 * 2**20], min_length=1)
    pattern: list[Pattern] = Field(default=["random"], min_length=1)
    disturbance: list[str] = Field(default=[NONE], min_length=1)
    probes: list[Observed] = Field(default=["all"], min_length=1)
    handover: list[Handover] = Field(default_factory=list)
    network: list[NetworkLevel] = Field(default_factory=list)

    @model_validator(mode="after")
    def _sane(self) -> Self:
        if problem := self.problem():
            raise ValueError(problem)
        return self

    def problem(self) -> str | None:
        """What is wrong with the levels, in words."""
        for name, values in self:
            if len(set(values)) != len(values):
                return f"{name} holds the same value twice"
        if any(memory < 256 * 2**20 for memory in self.memory):
            return "memory: the guest needs 256MiB at least"
        if any(memory > MOST_MEMORY for memory in self.memory):
            return "memory: 1024GiB at most"
        written = max(self.working_set) if any(self.write_rate) else 0
        if max(self.resident) + written + 256 * 2**20 > min(self.memory):
            words = "resident and working_set" if written else "resident"
            return f"{words}: the guest needs 256MiB of its memory for itself"
        if any(size < 2**20 for size in self.working_set):
            return "working_set: 1MiB at least"
        if any(not 1e6 <= rate <= 1e12 for rate in self.link):
            return "link: 1mbit to 1000gbit"
        if any(rate > 1e12 for rate in self.write_rate):
            return "write_rate: 1000GB/s at most"
        if any(not 0.001 <= limit <= 2000 for limit in self.downtime_limit):  # what QEMU takes
            return "downtime_limit: 1ms to 2000s"
        return None


class Also(Part):
    """A second part of a plan: in its first blocks, each combination of these levels with the other axes once, shuffled
    among the first part's. A list that it does not give is that of [axes]; a cell that both have is tried once in a
    block. outage: that of the verdict on its trials; without one, the plan's."""

    blocks: int = Field(1, ge=1, le=1000)
    scenario: list[Scenario] | None = Field(default=None, min_length=1)
    resident: list[Size] | None = Field(default=None, min_length=1)
    downtime_limit: list[Duration] | None = Field(default=None, min_length=1)
    outage: Annotated[Duration, Field(gt=0, le=DAY_S)] | None = None

    def axes(self, axes: Axes) -> Axes:
        """The axes of this part of a plan that has those."""
        given = {name: levels for name, levels in self if name in Axes.model_fields and levels is not None}
        return axes.model_copy(update=given)
