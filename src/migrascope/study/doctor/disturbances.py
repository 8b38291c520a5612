"""Which disturbances there are, and whether this machine can bring each about."""

import os
from dataclasses import dataclass

from migrascope.lab.injectors.capacity import need_capacity
from migrascope.model.disturbance import LATE_S, NONE
from migrascope.model.kinds import KINDS
from migrascope.model.kinds.kind import MEMORY_LIMIT
from migrascope.model.plan import Plan
from migrascope.model.problem import Problem, UsageProblem
from migrascope.node.kernel import features
from migrascope.node.memory import place


@dataclass(frozen=True)
class Offer:
    """A kind of disturbance. abilities: what it does, and how; phases: at which it can be aimed; why: what is missing
    here, empty where it is available."""

    kind: str
    abilities: list[str]
    phases: list[str]
    available: bool
    why: str


def offers(lab: str = "qemu") -> list[Offer]:
    """Each kind on a lab (qemu, libvirt, openstack) of this machine. UsageProblem for another lab."""
    if lab not in LATE_S:
        raise UsageProblem(f"the lab {lab} has no disturbances: {', '.join(LATE_S)} have")
    here = _here()
    return [_offer(kind, here, lab) for kind in KINDS]


def problems_of(plan: Plan) -> list[str]:
    """Why this machine cannot bring about what a plan for a lab of its own or the testbed names, one sentence each."""
    tables = plan.disturbances()
    wanted = [tables[name] for name in plan.axes.disturbance if name != NONE]
    here = _here() if wanted else None
    found = []
    for disturbance in wanted:
        why = _offer(disturbance.kind, here, plan.lab.kind).why
        try:
            need_capacity(disturbance, plan.lab.kind)
        except Problem as problem:
            why = str(problem)
        if why:
            found.append(f"disturbance {disturbance.name}: {why}; leave it out")
    return found


def _here() -> dict[str, str] | None:
    """What of the kernel is missing, by name; None where only root could tell."""
    if os.geteuid() != 0:
        return None
    found = features()
    try:
        parent = place("any").parent
        found[MEMORY_LIMIT] = "" if os.access(parent, os.W_OK) else f"{parent} cannot be written to"
    except (Problem, OSError) as problem:
        found[MEMORY_LIMIT] = str(problem).splitlines()[0]
    return found


def _offer(kind: str, here: dict[str, str] | None, lab: str) -> Offer:
    made = KINDS[kind]
    if lab not in made.labs:
        missing = [f"only on the lab {' and '.join(made.labs)}"]
    elif here is None:
        missing = ["only root can tell: sudo ./migrascope disturbances"]
    else:
        needs = ("network namespaces", *made.kernel)
        missing = [f"{need}: {here[need]}" for need in needs if here.get(need, "")]
    return Offer(kind, [made.ability, made.how], list(made.phases(lab)), not missing, "; ".join(missing))
