"""Runs on two libvirt hosts of others: what is found there, and what runs the trials."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import fromstring

from migrascope.guest.image import kernel_line
from migrascope.lab.hosts import marks
from migrascope.lab.hosts.domain import TheirDomain
from migrascope.lab.hosts.lab import HostsLab, Live
from migrascope.lab.hosts.leftovers import abort, clean_command, look
from migrascope.lab.hosts.origin import origin_of
from migrascope.lab.hosts.pair import Pair
from migrascope.lab.hosts.python import python_with_libvirt
from migrascope.lab.hosts.record import Record
from migrascope.lab.libvirt.placed import active
from migrascope.model.hosts import HostsPlan, hosts_problem
from migrascope.model.plan import Plan
from migrascope.model.problem import Problem, UsageProblem
from migrascope.node.machine import machine_tag
from migrascope.study.labs.images import prepare
from migrascope.study.labs.labs import Progress, Up, guest_up
from migrascope.trial.hosts import HostsTrials
from migrascope.trial.origin import Ended, origin


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
                    f" {clean_command(theirs)}"
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


@contextlib.asynccontextmanager
async def guest_trials(plan: Plan, progress: Progress) -> AsyncIterator[Up]:
    """Their hosts as something that runs trials of a guest of ours there."""
    theirs = plan.libvirt
    assert theirs.guest is not None
    images = await prepare(progress.step, progress.waiting)
    python = await asyncio.to_thread(python_with_libvirt)
    address, port = origin_of(theirs.guest) if plan.streamed else ("127.0.0.1", 80)
    boot = replace(images.boot, kernel_line=kernel_line(theirs.guest.addressing(plan.families), f"{address}:{port}"))

    def serve(guest: str, folder: Path) -> AbstractAsyncContextManager[Ended]:
        # Visitors are on this machine, and come to an address of its own from that.
        peers = (guest, address)
        return origin(None, address, images.host_root, images.live_loop, folder, port=port, only=peers)

    live = Live(f"{address}:{port}" if plan.streamed else "", serve, plan.windows.boot_limit)
    async with Pair.opened(theirs.hosts, python) as pair:
        progress.step(f"putting the guest into the pool {theirs.guest.pool} of {' and '.join(pair.connections)}")
        up = HostsLab.up(
            pair, theirs, boot, images.host_root, storage=plan.axes.storage[0], policies=plan.chosen_policies(),
            python=python, wanted=plan.lab.accelerator, live=live, families=plan.families,
        )  # fmt: skip
        async with up as lab:
            yield guest_up(lab, images, progress)


@dataclass(frozen=True)
class CleanedHosts:
    """said: what was found; done: what was done about it; left: what stays that should not."""

    said: list[str]
    done: list[str]
    left: list[str]


async def clean_hosts(uris: list[str], domain: str, *, only: bool) -> CleanedHosts:
    """What a run that was killed has left of a domain of others: its migration, if it still goes on, is aborted, and
    what was set for it put back. Without a domain, what runs of this machine have left there of guests of ours is
    removed. only: it is looked for and left. UsageProblem where hosts are not named."""
    if problem := hosts_problem(uris):
        raise UsageProblem(f"--hosts: {problem}")
    python = await asyncio.to_thread(python_with_libvirt)
    async with Pair.opened(uris, python) as pair:
        if not domain:
            return await _clean_guests(pair, only=only)
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


async def _clean_guests(pair: Pair, *, only: bool) -> CleanedHosts:
    found = await marks.find(pair, machine_tag())

    def told(leftover: marks.Leftover) -> str:
        where = f"pool {leftover.pool} of {leftover.host}" if leftover.pool else leftover.host
        return f"{leftover.kind} {leftover.name} on {where}"

    said = [f"found {told(leftover)}" for leftover in found.left]
    said += [f"stays, for another machine's run made it: {told(leftover)}" for leftover in found.others]
    failed = {} if only else await marks.remove(pair, found.left)
    done = [] if only else [f"removed {told(leftover)}" for leftover in found.left if leftover not in failed]
    return CleanedHosts(
        said or ["nothing of ours is there"], done, [f"{told(leftover)}: {why}" for leftover, why in failed.items()]
    )


async def _known(domain: TheirDomain, pair: Pair) -> dict[str, Any]:
    """What does not depend on where the domain is: versions of both hosts, each once."""
    kind = fromstring(await domain.call(domain.host, "XMLDesc", 0)).get("type", "")
    return {"lab": "hosts", "accelerator": {"kvm": "kvm", "qemu": "tcg"}.get(kind, "unknown"), **pair.versions()}
