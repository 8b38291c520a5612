"""What `observe` says while it observes: events, each a line for people or an object for programs."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from migrascope.model.signs import Kind, Verdict
from migrascope.model.steady import OUTAGE_FACTOR

Way = Literal["icmp-raw", "icmp-ping", "tcp", "http"]
"""ICMP echo by a raw socket, by the kernel's ping socket, handshakes with a TCP port, or fetches of a page."""
FOREIGN_RATE, OWN_RATE, MOST_RATE, LEAST_RATE = 10.0, 50.0, 2000.0, 1.0
"""Probes a second by default to public addresses, where all else that is sent counts among them, and to private,
link-local and loopback ones; the most; and the fewest that the rest may leave."""
OWN_SEGMENTS, FOREIGN_SEGMENTS, MOST_SEGMENTS = 50.0, 3.0, 500.0
"""Keep-alive segments a second, to private addresses and to public ones, for the time stamps of their answers; and the
most to all together."""
OWN_VISITS, FOREIGN_VISITS = 10.0, 2.0
"""Visits of a page a second by default, to private addresses and to public ones."""
BOOT_RATE = 1.0
"""How often a second a machine is asked for its boot id."""
ECHO_BYTES, SYN_BYTES, SEGMENT_BYTES, VISIT_BYTES = 64, 40, 33, 400
"""Of a probe, without the IP header; of a TCP one with its options, and the RST that ends it is as long at most; of a
keep-alive segment; of a visit, about: its request and six segments."""


class Target(BaseModel):
    """An address that is observed. name: as it was given; port: of TCP, 0 with ICMP; rate: probes a second; why: why it
    is not asked by ICMP, empty where it is; answers: whether it has answered yet. clock_port: a TCP port to which a
    connection is kept for its time stamps, 0 without one; clock_rate: how many are asked for a second; clock_unseen:
    why there is none. boot_url: where it says its boot id, empty for nowhere. prohibited: whether ICMP has said
    while the way was chosen that it is administratively prohibited."""

    model_config = ConfigDict(frozen=True)

    name: str
    address: str
    way: Way
    port: int
    rate: float
    why: str
    answers: bool
    clock_port: int = 0
    clock_rate: float = 0.0
    clock_unseen: str = ""
    boot_url: str = ""
    prohibited: bool = False

    @property
    def label(self) -> str:
        """The name, and the address where that is another."""
        return self.name if self.name == self.address else f"{self.name} ({self.address})"


def local_time(wall_ns: int) -> str:
    """ISO 8601 with ms and the offset from UTC."""
    return datetime.fromtimestamp(wall_ns / 1e9).astimezone().isoformat(timespec="milliseconds")


class _Event(BaseModel):
    """time: as local_time gives it."""

    model_config = ConfigDict(frozen=True)
    schema_: int = Field(default=1, serialization_alias="schema")
    time: str


class Begin(_Event):
    """Probes are sent from now on. least_s: the shortest outage that can be told; bound_s: how exactly."""

    event: Literal["begin"] = "begin"
    target: Target
    least_s: float
    bound_s: float

    @classmethod
    def of(cls, target: Target, wall_ns: int) -> "Begin":
        """What can be told of a target: an outage is as metrics.network has it."""
        interval = 1 / target.rate
        return cls(time=local_time(wall_ns), target=target, least_s=OUTAGE_FACTOR * interval, bound_s=interval)


class _OfOne(_Event):
    """Of one target: its name as it was given, and its address."""

    name: str
    address: str


class SeenSign(BaseModel):
    """A sign, when it was seen, and more exactly what."""

    model_config = ConfigDict(frozen=True)

    kind: Kind
    time: str
    note: str


class Silent(_OfOne):
    """Nothing has come since `time`, which is `seconds` ago."""

    event: Literal["silent"] = "silent"
    seconds: float


class Blackout(_OfOne):
    """A network blackout that began at `time`, when the last reply before it came. seconds: as network_blackout_s,
    which may be off by bound_s and lies in any case between low_s and high_s. lost: probes that were not answered;
    late: probes were held back and answered at its end. at_least: it was not over when the observation ended.

    paused_s: how long the guest's clock stood still in it, exact to paused_bound_s, None where that is not known, or it
    did not, as pause_unknown says; network_s: the rest. kept: whether the kept connection lasted, None without one.
    verdict: moved, restarted, no sign, or unknown; why: the signs in words; signs: each with its time."""

    event: Literal["blackout"] = "blackout"
    seconds: float
    bound_s: float
    low_s: float
    high_s: float
    lost: int
    late: bool
    at_least: bool
    paused_s: float | None = None
    paused_bound_s: float | None = None
    network_s: float | None = None
    pause_unknown: str = ""
    kept: bool | None = None
    verdict: Verdict = "unknown"
    why: str = ""
    signs: list[SeenSign] = Field(default_factory=list)


class OwnLateness(_Event):
    """This machine itself sent nothing for so many seconds when it should have, or its wall clock stepped (0): whether
    an address was silent is not known."""

    event: Literal["own-lateness"] = "own-lateness"
    seconds: float


class BackOff(_OfOne):
    """The address, or a router before it, has asked to be left alone: nothing is sent to it for so many seconds. why:
    how it said so."""

    event: Literal["back-off"] = "back-off"
    seconds: float
    why: str


class End(_OfOne):
    """The whole observation of an address. loss_ratio: of the probes whose fate is known; rtt_s: the median of the last
    minute; rtt_max_s: the longest; None where nothing was answered."""

    event: Literal["end"] = "end"
    sent: int
    answered: int
    lost: int
    loss_ratio: float | None
    rtt_s: float | None
    rtt_max_s: float | None
    blackouts: int
    blackout_total_s: float


Event = Begin | Silent | Blackout | OwnLateness | BackOff | End


def schema() -> dict[str, Any]:
    """The JSON Schema of an event."""
    chosen: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])
    return chosen.json_schema(mode="serialization", by_alias=True)
