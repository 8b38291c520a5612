"""The trials that a plan stands for: randomised blocks, the direction alternating by block, or, of a domain that is
nowhere put back, by trial."""

import itertools
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from migrascope.model import units
from migrascope.model.axes import Axes, Scenario
from migrascope.model.plan import Plan
from migrascope.model.storage import SHARED, Storage

_TOGETHER = 2
"""So many blocks share each network's testbed: a migration each way, for one that comes up."""
HOSTS = ("host-a", "host-b")
"""The two hosts of a schedule; a lab has names of its own for them."""


COMMAND = "command"
"""The policy of a migration that a command of the user carries out: nothing of it is known."""


LABS_OWN = "own"
"""The handover, or network, of a plan that says nothing: the lab's own."""


@dataclass(frozen=True)
class Factors:
    """What was set in a trial, in base units. disturbance: a name, "none" for nothing. write_Bps,
    write_set_bytes and write_pattern are of the steady writer; 0, 0 and "none" without one. storage: shared in
    recordings from before volumes were copied. handover: "qemu", "managed", or "own" for what the lab does where the
    plan says nothing. network: a level of axes.network, or "own"."""

    scenario: Scenario
    policy: str
    memory_bytes: int
    link_bps: float
    downtime_limit_s: float
    cache: str
    resident_bytes: int = 0
    probes: str = "all"
    disturbance: str = "none"
    instances: int = 1
    vcpus: int = 1
    write_Bps: float = 0.0
    write_set_bytes: int = 0
    write_pattern: str = "none"
    storage: Storage = SHARED
    # Not in its text, by which the fake lab draws its truths: so a seed gives the same as before these factors.
    handover: str = field(default=LABS_OWN, repr=False)
    network: str = field(default=LABS_OWN, repr=False)

    def label(self, beside: "list[Factors]") -> str:
        """The factors that differ among `beside`, as a short name in the units of plans."""
        varying = [key for key in vars(self) if len({vars(other)[key] for other in beside}) > 1]
        told = [_text(key, getattr(self, key)) for key in varying if key != "scenario" or len(varying) > 1]
        return " ".join(told) or self.scenario

    def words(self) -> dict[str, str]:
        """Each factor by the name and in the units that a plan has for it."""
        return {_IN_PLANS.get(key, (key, str))[0]: _text(key, value) for key, value in vars(self).items()}


_IN_PLANS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "memory_bytes": ("memory", units.size_text),
    "link_bps": ("link", units.rate_text),
    "downtime_limit_s": ("downtime_limit", units.duration_text),
    "resident_bytes": ("resident", units.size_text),
    "write_Bps": ("write_rate", units.byte_rate_text),
    "write_set_bytes": ("working_set", units.size_text),
    "write_pattern": ("pattern", str),
}


def _text(key: str, value: Any) -> str:
    """A factor in the unit that a plan has for it."""
    return _IN_PLANS.get(key, (key, str))[1](value)


@dataclass(frozen=True)
class TrialSpec:
    """One trial to come. number counts from 1 in running order; source and destination are two of HOSTS."""

    number: int
    block: int
    factors: Factors
    source: str
    destination: str


def cells(plan: Plan) -> list[Factors]:
    """Each combination of the plan's axes once, in the order in which they are written, its second part's last."""
    return list(dict.fromkeys(cell for _, axes in plan.parts() for cell in _chosen(plan, axes)))


def _chosen(plan: Plan, axes: Axes) -> list[Factors]:
    """Those of its combinations that the plan tries, in the order in which they are written."""
    crossed = _crossed(plan, axes)
    if not plan.cells:
        return crossed
    drawn = random.Random(f"cells {plan.seed}").sample(range(len(crossed)), plan.cells)
    return [crossed[at] for at in sorted(drawn)]


def _crossed(plan: Plan, axes: Axes) -> list[Factors]:
    """At an address of others nothing is known of the machine and set of its migration but the command, of their domain
    what libvirt is told, and of the links between their hosts nothing."""
    if plan.lab.kind == "address":
        return [Factors("none", COMMAND, 0, 0.0, 0.0, "unknown")]
    if plan.their_domain:
        told = itertools.product(axes.policy, axes.downtime_limit)
        return [Factors("none", policy, 0, 0.0, limit, "unknown") for policy, limit in told]
    writers = [
        (rate, size, pattern) if rate else (0.0, 0, "none")
        for rate, size, pattern in itertools.product(axes.write_rate, axes.working_set, axes.pattern)
    ]
    levels = itertools.product(
        axes.scenario,
        axes.policy,
        axes.memory,
        [0.0] if plan.libvirt.hosts else axes.link,
        axes.downtime_limit,
        axes.cache,
        axes.resident,
        axes.probes,
        axes.disturbance,
    )
    handed: list[str] = [*axes.handover] or [LABS_OWN]
    networks: list[str] = [*axes.network] or [LABS_OWN]
    guests = list(itertools.product(handed, axes.vcpus or [plan.instance.vcpus], dict.fromkeys(writers)))
    return [
        Factors(
            *level,
            vcpus=vcpus,
            write_Bps=rate,
            write_set_bytes=size,
            write_pattern=pattern,
            instances=instances,
            storage=storage,
            handover=handover,
            network=network,
        )
        for level in levels
        for network in networks
        for storage in axes.storage
        for instances in plan.fleet.count or [1]
        for handover, vcpus, (rate, size, pattern) in guests
    ]


def in_second_part(plan: Mapping[str, Any], factors: Factors) -> bool:
    """Whether a trial is of its plan's second part and not of the first, too. plan: in base units."""
    also, axes = plan.get("also"), plan.get("axes", {})
    if not also:
        return False
    set_to = {
        "scenario": factors.scenario,
        "resident": factors.resident_bytes,
        "downtime_limit": factors.downtime_limit_s,
    }
    return not all(level in axes[name] for name, level in set_to.items())


def schedule(plan: Plan) -> list[TrialSpec]:
    """All trials in running order; the same plan and seed give the same order. Where there are several networks, two
    blocks run together, and in them the trials of one network."""
    shuffle = random.Random(plan.seed).shuffle
    parts = [(blocks, _chosen(plan, axes)) for blocks, axes in plan.parts()]
    networks = list(dict.fromkeys(cell.network for _, crossed in parts for cell in crossed))
    together = _TOGETHER if len(networks) > 1 else 1
    trials: list[TrialSpec] = []
    for first in range(1, plan.blocks + 1, together):
        orders: dict[int, list[Factors]] = {}
        for block in range(first, min(first + together, plan.blocks + 1)):
            orders[block] = list(
                dict.fromkeys(cell for blocks, crossed in parts if block <= blocks for cell in crossed)
            )
            shuffle(orders[block])
        running = [(block, factors) for block, order in orders.items() for factors in order]
        for block, factors in _by_network(running, networks, shuffle) if together > 1 else running:
            number = len(trials) + 1
            # A domain of others is where the trial before has left it.
            turn = number if plan.their_domain else block
            trials.append(TrialSpec(number, block, factors, *(HOSTS if turn % 2 else HOSTS[::-1])))
    return trials


def _by_network(
    running: list[tuple[int, Factors]], networks: list[str], shuffle: Callable[[list[Any]], None]
) -> Iterator[tuple[int, Factors]]:
    """The blocks' trials by their networks, in random order; which block comes first is random in each network, so that
    neither direction is always the one after a testbed has come up."""
    shuffle(networks)
    for network in networks:
        blocks = list(dict.fromkeys(block for block, _ in running))
        shuffle(blocks)
        yield from (each for first in blocks for each in running if each[0] == first and each[1].network == network)
