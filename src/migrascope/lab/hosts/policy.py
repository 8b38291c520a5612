"""A policy as it is carried out on hosts of others: libvirt's, and of their domain none that would stop it."""

from migrascope.lab.libvirt import policy as of_libvirt
from migrascope.model.policy import Policy
from migrascope.model.storage import SHARED, Storage

_PEER = "VIR_MIGRATE_PEER2PEER"


def refused(policy: Policy) -> str | None:
    """Why libvirt cannot do it, or why it is not done to a domain of others; None where it can be."""
    if policy.pause:
        return "pause: a domain of others is not suspended"
    if policy.tunnelled:
        return "tunnelled: the memory of a domain of others goes from QEMU to QEMU"
    return _refused(policy)


def refused_of_guest(policy: Policy, *, peer_to_peer: bool) -> str | None:
    """Why libvirt cannot do it to a guest of ours there; None where it can."""
    if policy.tunnelled and not peer_to_peer:
        return "tunnelled: the tunnel is between both libvirts: libvirt.peer_to_peer = true"
    return _refused(policy)


def _refused(policy: Policy) -> str | None:
    if policy.manager is not None:
        return f"{policy.manager}: on hosts of others the limit of a migration that runs is not changed"
    return of_libvirt.refused(policy)


def request_of(policy: Policy, *, peer_to_peer: bool, storage: Storage = SHARED) -> of_libvirt.Request:
    """Flags and parameters of a policy that is not refused, and of a volume that is copied, over whichever port libvirt
    takes. Definitions stay where they are: no flag makes one or takes one away. libvirt's own judgement of what is
    unsafe stands."""
    request = of_libvirt.request_of(policy, storage)
    parameters = {key: value for key, value in request.parameters.items() if key != "disks_port"}
    return of_libvirt.Request([flag for flag in request.flags if peer_to_peer or flag != _PEER], parameters)
