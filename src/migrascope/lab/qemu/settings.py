"""Every migration capability and parameter, set on both sides before each migration: QEMU keeps what was set before."""

from dataclasses import dataclass, field
from typing import Any

from migrascope.lab.qemu.monitor import Monitor, MonitorError

_PARAMETERS_LEFT = ("tls-creds", "tls-hostname", "tls-authz", "block-bitmap-mapping")


@dataclass(frozen=True)
class Settings:
    """What a policy wants different from QEMU's own defaults: capabilities that are on, parameters by QMP name."""

    capabilities: frozenset[str] = frozenset({"events"})
    parameters: dict[str, Any] = field(default_factory=dict)


def pre_copy(downtime_limit_s: float) -> Settings:
    """Plain pre-copy: the link is the only bandwidth limit (0 means none), the downtime limit is the plan's."""
    limit_ms = round(downtime_limit_s * 1000)
    return Settings(parameters={"max-bandwidth": 0, "downtime-limit": limit_ms})


async def apply(monitor: Monitor, settings: Settings, defaults: dict[str, Any]) -> dict[str, Any]:
    """Sets everything that this QEMU has and reads it back: {"capabilities": {...}, "parameters": {...}}.

    defaults: query-migrate-parameters of a QEMU that nobody has touched. MonitorError names what this QEMU lacks, or
    what it did not take.
    """
    offered = [entry["capability"] for entry in await monitor.execute("query-migrate-capabilities")]
    if absent := settings.capabilities - set(offered):
        raise MonitorError(f"{monitor.host}: this QEMU has no migration capability {', '.join(sorted(absent))}")
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
