"""Which disturbances there are, and whether this machine can bring each about."""

import os
from dataclasses import dataclass

from migrascope.lab.injectors.room import need_room
from migrascope.model.disturbance import KINDS, LATE_S, NONE
from migrascope.model.plan import Plan
from migrascope.model.problem import Problem, UsageProblem
from migrascope.node.kernel import LOSS, features
from migrascope.node.memory import place

_BUCKET, _LIMIT = "rate limit (tbf)", "memory limit (cgroup)"
_WHAT = {
    "link-down": "closes bridge ports; one way, a token bucket drops all",
    "link-rate": "a token bucket (tbf) in each node",
    "link-loss": "nftables drops frames at random in the link's bridge",
    "link-delay": "a delay line in user space, before the link's bridge",
    "traffic": "UDP at a set rate from the source, in the link's own queue",
    "qemu-kill": "SIGKILL",
    "qemu-freeze": "SIGSTOP, and SIGCONT",
    "no-memory": "a memory limit (cgroup); the kernel kills a QEMU above it",
    "no-space": "the volume's server answers every write: no space left",
    "storage-load": "a client of the store writes blocks at a set rate",
    "ceph-recovery": "an OSD was away, and catches up",
    "host-memory": "a process that holds memory and writes it all the time",
    "host-cpu": "busy processes in the host",
    "abort": "migrate_cancel on the source",
    "second-migration": "the same migration asked for again",
    "force-complete": "an API's force_complete of the running migration",
    "service-kill": "SIGKILL to a service's main process; systemd starts it again",
    "service-down": "SIGKILL to a service, which systemd then keeps down",
    "node-off": "a node loses its power, and boots again",
    "guest-memory": "the guest's steady writer",
    "guest-network": "TCP at a set rate from the guest to the visitors' side",
    "guest-cpu": "busy processes in the guest",
    "guest-disk-write": "writes to a file on the guest's volume",
    "guest-disk-read": "reads from a file on the guest's volume",
}
_NEEDS = {
    "link-down": (_BUCKET,), "link-rate": (_BUCKET,), "link-loss": (LOSS,), "link-delay": ("tap",),
    "no-memory": (_LIMIT,),
}  # fmt: skip


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
    """Each kind on a lab (qemu, openstack) of this machine. UsageProblem for another lab."""
    if lab not in LATE_S:
        raise UsageProblem(f"the lab {lab} has no disturbances: {' and '.join(LATE_S)} have")
    here = _here()
    return [_offer(kind, here, lab) for kind in KINDS]


def problems_of(plan: Plan) -> list[str]:
    """Why this machine cannot bring about what a plan for the QEMU lab or the testbed names, one sentence each."""
    tables = plan.disturbances()
    wanted = [tables[name] for name in plan.axes.disturbance if name != NONE]
    here = _here() if wanted else None
    found = []
    for one in wanted:
        why = _offer(one.kind, here, plan.lab.kind).why
        try:
            need_room(one, plan.lab.kind)
        except Problem as problem:
            why = str(problem)
        if why:
            found.append(f"disturbance {one.name}: {why}; leave it out")
    return found


def _here() -> dict[str, str] | None:
    """What of the kernel is missing, by name; None where only root could tell."""
    if os.geteuid() != 0:
        return None
    found = features()
    try:
        parent = place("any").parent
        found[_LIMIT] = "" if os.access(parent, os.W_OK) else f"{parent} cannot be written to"
    except (Problem, OSError) as problem:
        found[_LIMIT] = str(problem).splitlines()[0]
    return found


def _offer(kind: str, here: dict[str, str] | None, lab: str) -> Offer:
    made = KINDS[kind]
    if lab not in made.labs:
        missing = [f"only on the lab {' and '.join(made.labs)}"]
    elif here is None:
        missing = ["only root can tell: sudo ./migrascope disturbances"]
    else:
        needs = ("network namespaces", *_NEEDS.get(kind, ()))
        missing = [f"{need}: {here[need]}" for need in needs if here.get(need, "")]
    return Offer(kind, [made.ability, _WHAT[kind]], list(made.phases(lab)), not missing, "; ".join(missing))
