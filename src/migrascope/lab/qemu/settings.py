"""Every migration capability and parameter, set on both sides before each migration: QEMU keeps what was set before."""

from dataclasses import dataclass, field
from typing import Any

from migrascope.lab.qemu.monitor import Monitor, MonitorError
from migrascope.model.policy import Policy

_PARAMETERS_LEFT = ("tls-creds", "tls-hostname", "tls-authz", "block-bitmap-mapping")
TLS_OBJECT = "tls0"


@dataclass(frozen=True)
class Settings:
    """What a policy wants different from QEMU's own defaults: capabilities that are on, parameters by QMP name."""

    capabilities: frozenset[str] = frozenset({"events"})
    parameters: dict[str, Any] = field(default_factory=dict)


def settings_of(policy: Policy, downtime_limit_s: float, *, waits: bool = False) -> Settings:
    """A policy as QEMU knows it. Without a bandwidth the link is the only limit (QEMU writes that as 0). waits: the
    source has to be told to go on at its switchover."""
    on = {"events"} | {name for name, state in policy.capabilities.items() if state}
    if waits:
        on.add("pause-before-switchover")
    rate = round(policy.bandwidth / 8)
    parameters: dict[str, Any] = {
        "max-bandwidth": rate,
        "max-postcopy-bandwidth": rate,
        "downtime-limit": round(downtime_limit_s * 1000),
    }
    if slow := policy.auto_converge:
        on.add("auto-converge")
        parameters |= {
            "cpu-throttle-initial": slow.initial,
            "cpu-throttle-increment": slow.increment,
            "max-cpu-throttle": slow.maximum,
        }
    if policy.xbzrle:
        on.add("xbzrle")
        parameters["xbzrle-cache-size"] = policy.xbzrle.cache
    if policy.may_turn:
        on |= {"postcopy-ram", "postcopy-preempt"} if policy.preempts else {"postcopy-ram"}
    if many := policy.multifd:
        on.add("multifd")
        parameters |= {"multifd-channels": many.channels, "multifd-compression": many.compression}
    if held := policy.dirty_limit:
        on.add("dirty-limit")
        parameters |= {
            "vcpu-dirty-limit": round(held.rate / 2**20),
            "x-vcpu-dirty-limit-period": round(held.period * 1000),
        }
    if policy.tls:
        parameters["tls-creds"] = TLS_OBJECT
    return Settings(frozenset(on), parameters | policy.parameters)


async def apply(monitor: Monitor, settings: Settings, defaults: dict[str, Any]) -> dict[str, Any]:
    """Sets everything that this QEMU has and reads it back: {"capabilities": {...}, "parameters": {...}}.

    defaults: query-migrate-parameters of a QEMU that nobody has touched. MonitorError names what this QEMU lacks, or
    what it did not take.
    """
    offered = [entry["capability"] for entry in await monitor.execute("query-migrate-capabilities")]
    if absent := settings.capabilities - set(offered):
        raise MonitorError(f"{monitor.host}: no migration capability {', '.join(sorted(absent))}")
    if unknown := settings.parameters.keys() - defaults.keys():
        raise MonitorError(f"{monitor.host}: no migration parameter {', '.join(sorted(unknown))}")
    wanted = {name: name in settings.capabilities for name in offered}
    entries = [{"capability": name, "state": state} for name, state in wanted.items()]
    await monitor.execute("migrate-set-capabilities", {"capabilities": entries})
    parameters = {key: value for key, value in defaults.items() if key not in _PARAMETERS_LEFT} | settings.parameters
    await monitor.execute("migrate-set-parameters", parameters)
    found = {entry["capability"]: entry["state"] for entry in await monitor.execute("query-migrate-capabilities")}
    read = await monitor.execute("query-migrate-parameters")
    differing = [name for name, state in wanted.items() if found[name] != state]
    differing += [name for name, value in parameters.items() if read.get(name) != value]
    if differing:
        raise MonitorError(f"{monitor.host}: QEMU did not take {', '.join(differing)}")
    return {"capabilities": found, "parameters": read}
