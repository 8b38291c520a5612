"""A policy as it is carried out on a domain of others: libvirt's, but for what would stop it."""

from dataclasses import replace

from migrascope.lab.libvirt import policy as of_libvirt
from migrascope.model.policy import Policy

_PEER = "VIR_MIGRATE_PEER2PEER"


def refused(policy: Policy) -> str | None:
    """Why libvirt cannot do it, or why it is not done to a domain of others; None where it can be."""
    if policy.pause:
        return "pause: a domain of others is not suspended"
    if policy.tunnelled:
        return "tunnelled: the memory of a domain of others goes from QEMU to QEMU"
    return of_libvirt.refused(policy)


def request_of(policy: Policy, *, peer_to_peer: bool) -> of_libvirt.Request:
    """Flags and parameters of a policy that is not refused. Definitions stay where they are: no flag makes one or takes
    one away. libvirt's own judgement of what is unsafe stands."""
    request = of_libvirt.request_of(policy)
    return replace(request, flags=[flag for flag in request.flags if peer_to_peer or flag != _PEER])
