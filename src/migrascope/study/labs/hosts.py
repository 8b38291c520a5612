"""Runs on two libvirt hosts of others: what is found there, and what runs the trials."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import fromstring

from migrascope.lab.hosts.domain import TheirDomain
from migrascope.lab.hosts.leftovers import abort, look
from migrascope.lab.hosts.pair import Pair
from migrascope.lab.hosts.python import python_with_libvirt
from migrascope.lab.hosts.record import Record
from migrascope.lab.libvirt.connection import version_text
from migrascope.lab.libvirt.placed import active
from migrascope.model.hosts import HostsPlan, hosts_problem
from migrascope.model.plan import Plan
from migrascope.model.problem import Problem, UsageProblem
from migrascope.study.labs.labs import Progress, Up
from migrascope.trial.hosts import HostsTrials


@contextlib.asynccontextmanager
async def hosts_trials(plan: Plan, progress: Progress) -> AsyncIterator[Up]:
    """Their hosts as something that runs trials. Problem where a migration goes on there, or somebody of this machine
    migrates the domain."""
    theirs = plan.libvirt
    python = await asyncio.to_thread(python_with_libvirt)
    async with Pair.opened(theirs.hosts, python) as pair:
        uuid = await pair.uuid_of(theirs.domain)
        record = Record(uuid)
        domain = TheirDomain(pair, theirs, uuid, python, record)
        found = await look(domain, record)
        with record.held(), tempfile.TemporaryDirectory(prefix="migrascope-hosts-") as folder:
            if found.begun is not None:
                domain.limit_ms = found.begun.limit_ms
                for words in found.words(theirs.domain):
                    progress.step(words)
            if found.job is not None:
                told = "\n  ".join(found.words(theirs.domain))
                raise Problem(
                    f"{theirs.domain} is not free to be migrated:\n  {told}\n"
                    f"  next: wait until it is over, or where it is a killed run's:"
                    f" migrascope clean --hosts {','.join(theirs.hosts)} --domain {theirs.domain}"
                )
            source, destination = await domain.find()
            progress.step(f"{theirs.domain} runs on {source}; it is migrated to {destination} and back")
            known = await _known(domain, pair)
            try:
                yield Up(known, lambda loaded: HostsTrials(loaded, domain, known, Path(folder), progress.phase).run)
            finally:
                with contextlib.suppress(Problem):
                    await domain.restore()
                    here = active(await domain.states())
                    progress.step(f"{theirs.domain} runs on {', '.join(here) or 'neither host'}")


@dataclass(frozen=True)
class CleanedHosts:
    """said: what was found; done: what was done about it; left: what stays that should not."""

    said: list[str]
    done: list[str]
    left: list[str]


async def clean_hosts(uris: list[str], domain: str, *, only: bool) -> CleanedHosts:
    """What a run that was killed has left of a domain of others: its migration, if it still goes on, is aborted, and
    what was set for it put back. only: it is looked for and left. UsageProblem where hosts or domain are not named."""
    if problem := hosts_problem(uris):
        raise UsageProblem(f"--hosts: {problem}")
    if not domain:
        raise UsageProblem("--domain: the name of the domain is missing")
    python = await asyncio.to_thread(python_with_libvirt)
    async with Pair.opened(uris, python) as pair:
        uuid = await pair.uuid_of(domain)
        record = Record(uuid)
        theirs = TheirDomain(pair, HostsPlan(hosts=uris, domain=domain), uuid, python, record)
        found = await look(theirs, record)
        said, done, left = found.words(domain), list[str](), list[str]()
        begun = found.begun
        if only or found.busy is not None or begun is None:
            return CleanedHosts(said, done, left)
        if found.job is not None and found.job.ours:
            done.append(await abort(theirs, found.job))
        theirs.limit_ms = begun.limit_ms
        await theirs.restore()
        if record.left() is None:
            done.append(f"the downtime limit is {begun.limit_ms} ms, as before")
        else:
            left.append("what that run has set, until both hosts answer and no job goes on")
        return CleanedHosts(said, done, left)


async def _known(domain: TheirDomain, pair: Pair) -> dict[str, Any]:
    """What does not depend on where the domain is: versions of both hosts, each once."""
    kind = fromstring(await domain.call(domain.host, "XMLDesc", 0)).get("type", "")
    hosts = list(pair.connections.values())
    versions = {
        name: ", ".join(dict.fromkeys(version_text(host.versions[name]) for host in hosts))
        for name in hosts[0].versions
    }
    return {"lab": "hosts", "accelerator": {"kvm": "kvm", "qemu": "tcg"}.get(kind, "unknown"), **versions}
