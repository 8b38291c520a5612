"""What a run that was killed may have left of a domain of others: where it runs now, and whether a migration that the
run has asked for still goes on."""

import shlex
import time
from dataclasses import dataclass

from migrascope.lab.hosts.domain import TheirDomain
from migrascope.lab.hosts.record import Begun, Record
from migrascope.lab.libvirt.connection import LibvirtError
from migrascope.lab.libvirt.placed import SILENT, active, told
from migrascope.model.hosts import HostsPlan
from migrascope.node.wait import WaitTimeout, wait_until

_OVER_S = 60.0
_LOOK_S = 0.2


def clean_command(theirs: HostsPlan) -> str:
    """What says, and ends, what a killed run has left of a domain, ready to paste."""
    return f"migrascope clean --hosts {shlex.quote(','.join(theirs.hosts))} --domain {shlex.quote(theirs.domain)}"


@dataclass(frozen=True)
class Job:
    """What goes on on a host. ours: the migration that our record names."""

    host: str
    elapsed_s: float
    ours: bool


@dataclass(frozen=True)
class Found:
    """states: of the domain by host. job: what goes on; None where nothing does. begun: the migration of a run that did
    not see its end. busy: who of this machine migrates it now."""

    states: dict[str, str]
    job: Job | None
    begun: Begun | None
    busy: str | None

    @property
    def copies(self) -> int:
        """On how many hosts it has a QEMU; during a migration on both."""
        return len(active(self.states))

    def words(self, domain: str) -> list[str]:
        """For people, a sentence each."""
        said = [f"{domain}: {told(self.states)}"]
        if self.busy is not None:
            said.append(f"{self.busy} of this machine migrates it")
        if self.begun is not None and self.busy is None:
            began = self.begun
            way = f"{began.source} to {began.destination}"
            said.append(f"a run that was killed was to migrate it from {way}, {began.ago(time.time_ns())}")
        if self.job is not None:
            whose = "it is that migration" if self.job.ours else "no run of this machine began it"
            said.append(f"a job goes on on {self.job.host}, for {self.job.elapsed_s:.1f} s: {whose}")
        elif self.copies > 1 and SILENT not in self.states.values():
            said.append("two copies: it has a QEMU on both hosts, and no migration goes on")
        return said


async def look(domain: TheirDomain, record: Record) -> Found:
    """Asks both hosts, and changes nothing."""
    begun = record.left()
    states = await domain.states()
    jobs = list[Job]()
    for host in active(states):
        try:
            kind, elapsed_ms, *_ = await domain.call(host, "jobInfo")
        except LibvirtError:
            continue
        if kind:
            ours = begun is not None and begun.source == host and begun.is_job(elapsed_ms, time.time_ns())
            jobs.append(Job(host, elapsed_ms / 1e3, ours))
    # The source's says how long it takes; on the destination it waits for what comes.
    jobs.sort(key=lambda job: (not job.ours, states[job.host] != "running"))
    return Found(states, jobs[0] if jobs else None, begun, record.busy())


async def abort(domain: TheirDomain, job: Job) -> str:
    """Aborts a migration that is ours; what became of it, in words. libvirt refuses it for a post-copy."""
    try:
        await domain.call(job.host, "abortJob")
    except LibvirtError as error:
        return f"not aborted: {error}"
    try:
        await wait_until(domain.over, _OVER_S, "the migration is over", _LOOK_S)
    except WaitTimeout as error:
        return f"aborted, but {error}"
    return f"aborted: {told(await domain.states())}"
