"""Where an instance's volume is: on storage that both hosts reach, or a file on each host that a migration copies."""

from collections.abc import Iterable, Mapping
from typing import Literal

from migrascope.model.disturbance import Disturbance
from migrascope.model.kinds.kind import STORAGE_COPY
from migrascope.model.policy import Policy

Storage = Literal["shared", "copied"]
SHARED: Storage = "shared"
COPIED: Storage = "copied"
COPYING = ("qemu", "libvirt")
"""The labs that copy volumes."""


def refused(
    storage: Iterable[Storage], lab: str, policies: Mapping[str, Policy], disturbances: Iterable[Disturbance]
) -> str | None:
    """Why volumes of these kinds do not go with a plan's lab, policies and disturbances; None where they do."""
    kinds = set(storage)
    if COPIED in kinds:
        if lab not in COPYING:
            return f"axes.storage: the lab {lab} copies no volumes, only {' and '.join(COPYING)} do; leave it out"
        for name, policy in policies.items():
            if words := _not_copied(policy):
                return f"axes.storage: policy {name}: {words}"
    for disturbance in disturbances:
        if words := _not_disturbed(kinds, lab, disturbance):
            return f"disturbance {disturbance.name}: {words}"
    return None


def _not_copied(policy: Policy) -> str | None:
    if policy.may_turn:
        return "copied: a guest in post-copy runs before its volume's copy has ended"
    return "copied: the lab sends the volume unencrypted, which tls asks it not to" if policy.tls else None


def _not_disturbed(kinds: set[Storage], lab: str, disturbance: Disturbance) -> str | None:
    of_copy = disturbance.phase == STORAGE_COPY
    if SHARED in kinds and (of_copy or (disturbance.kind == "no-space" and disturbance.target == "destination")):
        what = f"the phase {STORAGE_COPY}" if of_copy else "no-space of the destination"
        return f'{what} needs a volume that is copied: axes.storage = ["{COPIED}"]'
    if COPIED in kinds and disturbance.target == "storage":
        return "a volume that is copied is not on the storage link: axes.storage"
    if of_copy and lab == "qemu" and disturbance.kind == "second-migration":
        return f"QEMU migrates nothing yet in the phase {STORAGE_COPY}, and would take a second one for the first"
    return None
