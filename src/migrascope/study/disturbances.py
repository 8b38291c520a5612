"""Which disturbances there are, and whether this machine can bring each about."""

import os
from dataclasses import dataclass

from migrascope.model.disturbance import KINDS
from migrascope.node.kernel import features

_BUCKET = "rate limit (tbf)"
_WHAT = {
    "link-down": "closes bridge ports; in one direction a token bucket drops every frame",
    "link-rate": "a token bucket (tbf) in each node",
    "traffic": "UDP at a set rate from the source, in the link's own queue",
    "qemu-kill": "SIGKILL",
    "qemu-freeze": "SIGSTOP, and SIGCONT",
    "host-cpu": "busy processes in the host",
    "abort": "migrate_cancel on the source",
    "second-migration": "the same migration asked for again",
    "guest-memory": "the guest's steady writer",
    "guest-cpu": "busy processes in the guest",
    "guest-disk-write": "writes to a file on the guest's volume",
    "guest-disk-read": "reads from a file on the guest's volume",
}
_NEEDS = {"link-down": (_BUCKET,), "link-rate": (_BUCKET,)}


@dataclass(frozen=True)
class Offer:
    """A kind of disturbance. abilities: what it does, and how; phases: at which it can be aimed; why: what is missing
    here, empty where it is available."""

    kind: str
    abilities: list[str]
    phases: list[str]
    available: bool
    why: str


def offers() -> list[Offer]:
    """Each kind on the QEMU lab of this machine."""
    here = features() if os.geteuid() == 0 else None
    return [_offer(kind, here) for kind in KINDS]


def _offer(kind: str, here: dict[str, str] | None) -> Offer:
    if here is None:
        missing = ["only root can tell: sudo ./migrascope disturbances"]
    else:
        needs = ("network namespaces", *_NEEDS.get(kind, ()))
        missing = [f"{need}: {here[need]}" for need in needs if here.get(need, "")]
    made = KINDS[kind]
    return Offer(kind, [made.ability, _WHAT[kind]], list(made.phases()), not missing, "; ".join(missing))
