"""A policy as Nova carries it out: by its settings of live migrations, and by what its API is asked meanwhile."""

from typing import Any

from migrascope.model.policy import AutoConverge, Moment, Policy, whole_mib_s

_NOT_THERE = {
    "xbzrle": "XBZRLE",
    "multifd": "multifd",
    "dirty_limit": "a dirty limit",
    "fixed": "a limit beside axes.downtime_limit",
    "nova": "steps of a single migration: its own are those of each host",
    "ovirt": "oVirt's schedule",
    "proxmox": "Proxmox's doubling",
    "advised": "advised limits",
    "capabilities": "single capabilities",
    "parameters": "single parameters",
}


def refused(policy: Policy) -> str | None:
    """Why Nova cannot do it, or None."""
    for key, words in _NOT_THERE.items():
        if getattr(policy, key):
            return f"{key}: Nova has no setting for {words}"
    if policy.auto_converge not in (None, AutoConverge()):
        return "auto_converge: Nova permits it or not; its steps are QEMU's own (20, 10, 99)"
    if policy.auto_converge and policy.post_copy:
        return "post_copy: where Nova permits both it never slows the guest"
    for key in ("preempt", "recover"):
        if policy.post_copy and getattr(policy.post_copy, key):
            return f"post_copy.{key}: Nova has no setting for it"
    for key, moment, own in (("post_copy", policy.post_copy, (0, 1)), ("pause", policy.pause, (0,))):
        if moment is not None and moment.after is None and moment.after_round not in own:
            return f"{key}.after_round: Nova counts no rounds for others; write after, or after_round = {own[-1]}"
    return None


def settings(policy: Policy) -> dict[str, Any]:
    """The testbed's settings of migrations, by their names there, that make Nova migrate so; bandwidth is rounded to
    whole MiB/s."""
    return {
        "permit_post_copy": policy.post_copy is not None,
        "permit_auto_converge": policy.auto_converge is not None,
        "bandwidth_mib_s": whole_mib_s(policy.bandwidth) if policy.bandwidth else 0,
        "tls": policy.tls,
    }


def forced_after_s(policy: Policy) -> float | None:
    """When the API is asked to force the migration's end, which begins post-copy where that is permitted and else stops
    the guest: so long after the request; None where that is left to Nova."""
    moment: Moment | None = policy.post_copy or policy.pause
    if moment is None or (policy.post_copy and moment.after_round == 1):
        return None
    return moment.after or 0.0
