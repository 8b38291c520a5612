"""A policy as libvirt carries it out: by flags and parameters of the call that migrates."""

from dataclasses import dataclass, field
from typing import Any

from migrascope.lab.libvirt.domain import DISK
from migrascope.lab.qemu.topology import COPY_PORT
from migrascope.model.policy import AutoConverge, Policy, by_libvirt, whole_mib_s
from migrascope.model.storage import COPIED, SHARED, Storage

_NOT_THERE = {
    "dirty_limit": "libvirt's migration has no dirty limit",
    "capabilities": "libvirt sets QEMU's capabilities itself, by its flags",
    "parameters": "libvirt sets QEMU's parameters itself, by its own",
}
_ALWAYS = ("VIR_MIGRATE_LIVE", "VIR_MIGRATE_PEER2PEER")


@dataclass(frozen=True)
class Request:
    """What virDomainMigrateToURI3 is given: flags by their names, parameters by theirs, without where to."""

    flags: list[str]
    parameters: dict[str, Any] = field(default_factory=dict)


def refused(policy: Policy) -> str | None:
    """Why libvirt cannot do it, or this lab does not ask it to; None where it can."""
    for key, words in _NOT_THERE.items():
        if getattr(policy, key):
            return f"{key}: {words}"
    if policy.auto_converge and policy.auto_converge.maximum != AutoConverge().maximum:
        return "auto_converge.maximum: libvirt has no parameter for it, QEMU's own is 99"
    if policy.post_copy and policy.post_copy.recover:
        return "post_copy.recover: the lab does not take up a broken post-copy again"
    return None


def request_of(policy: Policy, storage: Storage = SHARED) -> Request:
    """Flags and parameters of a policy that is not refused, and of a volume that is copied. Without a bandwidth nothing
    limits but the link."""
    flags, parameters = list(_ALWAYS), dict[str, Any]()
    policy = by_libvirt(policy)
    if storage == COPIED:
        flags.append("VIR_MIGRATE_NON_SHARED_DISK")
        parameters |= {"migrate_disks": [DISK], "disks_port": COPY_PORT}
    if policy.bandwidth:
        rate = whole_mib_s(policy.bandwidth)
        parameters["bandwidth"] = rate
        if policy.may_turn:
            parameters["bandwidth.postcopy"] = rate
    if slow := policy.auto_converge:
        flags.append("VIR_MIGRATE_AUTO_CONVERGE")
        parameters |= {"auto_converge.initial": slow.initial, "auto_converge.increment": slow.increment}
    if policy.xbzrle:
        flags.append("VIR_MIGRATE_COMPRESSED")
        parameters |= {"compression": "xbzrle", "compression.xbzrle.cache": policy.xbzrle.cache}
    if policy.may_turn:
        flags.append("VIR_MIGRATE_POSTCOPY")
    if policy.tls:
        flags.append("VIR_MIGRATE_TLS")
    if policy.tunnelled:
        flags.append("VIR_MIGRATE_TUNNELLED")
    if many := policy.multifd:
        flags.append("VIR_MIGRATE_PARALLEL")
        parameters["parallel.connections"] = many.channels
        if many.compression != "none":
            flags.append("VIR_MIGRATE_COMPRESSED")
            parameters["compression"] = many.compression
    return Request(flags, parameters)
