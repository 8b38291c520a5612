"""What must hold for a trial on OpenStack to mean what it says: each a verdict with what was found."""

import json
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from migrascope.metrics import openstack
from migrascope.metrics.hostclock import host_clocks
from migrascope.metrics.windows import Windows, event_at, one_clock
from migrascope.model.measured import Measured
from migrascope.model.units import human
from migrascope.store.recording import Recording

Verdict = Literal["pass", "fail", "unknown"]
AGREE_RATIO = 0.03
CLOCKS_NS = 10_000_000
"""So exactly the offset between two hosts must be known: a tenth of a common VM pause."""
_NO_LIMIT = 2**50
"""Without a limit libvirt asks for as many bytes a second as it can write."""
SERVED_RATIO = 0.5
"""Of the visits that were due before the request: fewer that were answered are not the load that the plan wanted."""


@dataclass(frozen=True)
class Check:
    """One check of one trial. name is for people."""

    name: str
    verdict: Verdict
    text: str


def checks(recording: Recording, found: dict[str, Measured], windows: Windows) -> list[Check]:
    """The checks of a trial on OpenStack; none for another lab. found: the trial's metrics."""
    if not recording.table(openstack.SOURCE).height:
        return []
    return [
        _hosts(recording, windows),
        _clocks(recording, windows),
        _own_loss(found),
        _load(recording, windows),
        _policy(recording),
        _data(found),
        _blackout(recording, found),
        _ceph(recording, windows),
    ]


def _hosts(recording: Recording, windows: Windows) -> Check:
    """By the hash of the host that every user of Compute sees."""
    name = "two hosts"
    polls = openstack.polls(recording, "server")
    before = [poll.answer["hostId"] for poll in polls if windows.request and poll.asked_ns < windows.request]
    after = [poll.answer["hostId"] for poll in polls if windows.complete and poll.asked_ns > windows.complete]
    if not before or not after:
        return Check(name, "unknown", "Compute was not asked where the server is, before and after")
    trial = recording.trial
    if before[-1] == after[-1]:
        return Check(name, "fail", "the server has one hostId before and after: it was not moved to another host")
    return Check(name, "pass", f"the server's hostId changed from {trial.source} to {trial.destination}")


def _clocks(recording: Recording, windows: Windows) -> Check:
    name = "clocks"
    if not recording.table("qmp_event").height:
        return Check(name, "unknown", "no stamp of a host was recorded")
    if one_clock(recording):
        return Check(name, "pass", "both hosts are containers of one kernel, with one clock: their offset is 0")
    clocks, trial = host_clocks(recording), recording.trial
    for host, clock in clocks.items():
        if (step := clock.step_ns()) > 0:
            return Check(name, "fail", f"the clock of {host} stepped by at least {step / 1e6:.1f} ms in the trial")
    if windows.stop is None or windows.resume is None or not {trial.source, trial.destination} <= set(clocks):
        return Check(name, "unknown", "the hosts' clocks were not both read: no time is taken across them")
    stop, resume = event_at(recording, "STOP", windows.stop), event_at(recording, "RESUME", windows.resume)
    ahead = (resume.wall_ns - resume.mono_ns) - (stop.wall_ns - stop.mono_ns)
    bound = (stop.bound_ns or 0) + (resume.bound_ns or 0)
    text = f"{trial.destination} is {ahead / 1e6:+.1f} ms from {trial.source}, known to ±{bound / 1e6:.1f} ms"
    return Check(name, "pass" if bound <= CLOCKS_NS else "fail", text)


def _own_loss(found: dict[str, Measured]) -> Check:
    name, lost = "the probe's own loss", found["probe.loss_ratio.before"]
    if lost.value is None:
        return Check(name, "unknown", lost.reason or "not measured")
    return Check(name, "pass", f"{human(lost.value, 'ratio')} of {lost.samples} probes before the migration")


def _load(recording: Recording, windows: Windows) -> Check:
    name, wanted = "load", recording.trial.plan["visitors"]
    rate = wanted["new_rate"] + wanted["kept_rate"]
    if not rate:
        return Check(name, "pass", "the plan wanted no visits")
    if windows.before is None:
        return Check(name, "unknown", "the trial has no window before")
    begin, end = windows.before
    visits = recording.table("visit").filter(pl.col("due_ns").is_between(begin, end))
    served = visits.filter(pl.col("error") == "").height
    due = rate * (end - begin) / 1e9
    text = f"{served} of {due:.0f} visits were served in the time before the request"
    return Check(name, "pass" if served >= SERVED_RATIO * due else "fail", text)


def _policy(recording: Recording) -> Check:
    """Whether QEMU was set as Nova's settings of the trial want it, by its own word while it migrated."""
    name, rows = "policy", recording.table("qmp_status").filter(pl.col("host") == recording.trial.source)

    def told(command: str) -> Any:
        answers = rows.filter((pl.col("command") == command) & (pl.col("answer") != ""))["answer"]
        return json.loads(answers[-1]) if len(answers) else None

    capabilities, parameters = told("query-migrate-capabilities"), told("query-migrate-parameters")
    if capabilities is None or parameters is None:
        return Check(name, "unknown", "no QEMU was asked how it migrates")
    on = {capability["capability"] for capability in capabilities if capability["state"]}
    found = {
        "post-copy": "postcopy-ram" in on, "auto-converge": "auto-converge" in on, "TLS": bool(parameters["tls-creds"]),
    }  # fmt: skip
    rate = parameters["max-bandwidth"]
    limited = 0 < rate < _NO_LIMIT
    says = f"QEMU says: {_listed(found)}, bandwidth {human(rate, 'B/s') if limited else 'not limited'}, "
    says += f"downtime limit {parameters['downtime-limit']} ms"
    settings = recording.trial.settings
    nova = settings.get("nova", settings.get("stated"))
    if nova is None:
        return Check(name, "unknown", f"{says}; how Nova is set there is not known")
    keys = ("permit_post_copy", "permit_auto_converge", "tls")
    wanted = {what: bool(nova.get(key)) for what, key in zip(found, keys, strict=True)}
    sent = nova.get("bandwidth_mib_s", 0) * 2**20
    same = found == wanted and sent in (0, rate)
    return Check(name, "pass" if same else "fail", f"{says}; {'as' if same else 'not as'} Nova's settings want it")


def _listed(states: dict[str, bool]) -> str:
    return ", ".join(f"{what} {'on' if state else 'off'}" for what, state in states.items())


def _data(found: dict[str, Measured]) -> Check:
    name = "data transferred"
    counted, told = found["data_transferred_bytes"], found["libvirt_transferred_bytes"]
    if counted.value is None or told.value is None:
        return Check(name, "unknown", f"cannot be compared: {counted.reason or told.reason}")
    apart = counted.value / told.value - 1
    both = f"{human(counted.value, 'B')} on the link, {human(told.value, 'B')} by libvirt"
    text = f"{both}: {human(abs(apart), 'ratio')} apart"
    return Check(name, "pass" if abs(apart) <= AGREE_RATIO else "fail", text)


def _blackout(recording: Recording, found: dict[str, Measured]) -> Check:
    """Who stands still answers nobody: what is shorter was measured wrongly, here or there."""
    name, (black, pause) = "blackout and pause", (found["network_blackout_s"], found["vm_pause_s"])
    if black.value is None or pause.value is None:
        return Check(name, "unknown", f"cannot be compared: {pause.reason or black.reason}")
    interval = 1 / recording.trial.plan["probes"]["echo_rate"]
    text = f"no answer for {human(black.value, 's')}, of which the VM stood still for {human(pause.value, 's')}"
    least = pause.value - (pause.bound or 0.0) - interval
    short: Verdict = "unknown" if black.at_least else "fail"
    return Check(name, "pass" if black.value >= least else short, text)


def _ceph(recording: Recording, windows: Windows) -> Check:
    name, rows = "Ceph", recording.table("ceph")
    if not rows.height:
        return Check(name, "unknown", "Ceph was not in reach")
    if windows.during is not None:
        rows = rows.filter(pl.col("asked_ns").is_between(windows.during[0] - 2 * 10**9, windows.during[1] + 2 * 10**9))
    bad = rows.filter(pl.col("health") != "HEALTH_OK")
    if bad.height:
        said = {f"{health or 'no answer'} {why}".strip() for health, why in bad.select("health", "checks").rows()}
        why = ", ".join(sorted(said))
        return Check(name, "fail", f"not HEALTH_OK in {bad.height} of {rows.height} answers: {why}")
    return Check(name, "pass", f"HEALTH_OK in all {rows.height} answers through the migration")
