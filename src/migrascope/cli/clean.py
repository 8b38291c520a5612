"""`clean`: removes what killed runs left, on this machine or in a cloud."""

import os
from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated, Any

from cyclopts import Parameter

from migrascope.cli.console import CloudName, Json, TestbedName, stdout
from migrascope.cli.output import print_json
from migrascope.model.hosts import uris_in
from migrascope.model.problem import Problem
from migrascope.node.image import IMAGES
from migrascope.node.superseded import remove_superseded
from migrascope.node.takedown import clean as clean_machine


def clean(
    *,
    cloud: CloudName = None,
    testbed: TestbedName = None,
    images: Annotated[bool, Parameter(negative="", help="In a cloud, its images and flavors of ours too.")] = False,
    all_machines: Annotated[
        bool, Parameter(negative="", help="In a cloud, what other machines' runs made too.")
    ] = False,
    hosts: Annotated[str | None, Parameter(help="Two libvirt hosts of yours: URI,URI.")] = None,
    domain: Annotated[
        str | None, Parameter(help="With --hosts: the domain of yours that a run was to migrate.")
    ] = None,
    list_: Annotated[bool, Parameter(name="--list", negative="", help="In a cloud or on hosts, list only.")] = False,
    json: Json = False,
) -> int:
    """Removes what killed runs left, namespaces, processes and folders here, and images of the cache that newer ones
    have superseded and nothing has used for 30 days. With --cloud or --testbed: what runs made in that cloud, after
    listing it. With --hosts: what runs made on these hosts of guests of ours; with --domain says where that domain
    runs, and ends the migration of a run that was killed, if it still goes on, and no other.

    What a run alive on this machine uses is never touched. Runs of other machines may be alive: what they made stays
    unless --all-machines is given. 4 if something stays that should go.
    """
    if hosts is not None:
        return _clean_hosts(hosts, domain or "", list_, json)
    if os.geteuid() != 0:
        raise Problem("clean needs root: sudo ./migrascope clean")
    if cloud is not None or testbed is not None:
        return _clean_cloud(cloud, testbed, images, all_machines, list_, json)
    removed = clean_machine()
    images_gone = remove_superseded(IMAGES)
    code = Problem.code if removed.left else 0
    if json:
        print_json({"schema": 1, **asdict(removed), "images": images_gone})
        return code
    if removed.labs:
        for noun in ("labs", "namespaces", "processes", "cgroups"):
            stdout().print(f"removed {noun}: {', '.join(getattr(removed, noun)) or 'none'}", markup=False)
    if images_gone:
        stdout().print(f"removed images: {', '.join(images_gone)}", markup=False)
    for words in removed.left:
        stdout().print(f"stays: {words}", markup=False, soft_wrap=True)
    if not (removed.labs or images_gone or removed.left):
        stdout().print("nothing to remove")
    return code


def _clean_hosts(hosts: str, domain: str, only: bool, json: bool) -> int:
    import asyncio

    from migrascope.study.labs.hosts import clean_hosts

    found = asyncio.run(clean_hosts(uris_in(hosts), domain, only=only))
    if json:
        print_json({"schema": 1, **asdict(found)})
    else:
        for words in (*found.said, *found.done, *(f"stays: {what}" for what in found.left)):
            stdout().print(words, markup=False, soft_wrap=True)
    return Problem.code if found.left else 0


def _clean_cloud(cloud: str | None, testbed: str | None, images: bool, everyones: bool, only: bool, json: bool) -> int:
    from migrascope.lab.openstack import leftovers  # openstacksdk is an extra, and takes a second
    from migrascope.node.machine import machine_tag
    from migrascope.study.labs.access import connect

    where = connect(cloud, testbed)
    found = leftovers.find(where, machine_tag())
    others = [other for other in found.others if images or other.kind not in leftovers.KEPT] if everyones else []
    going = found.left + (found.kept if images else []) + others
    going.sort(key=lambda leftover: leftovers.KINDS.index(leftover.kind))
    kept = [] if images else found.kept
    foreign = [other for other in found.others if other not in going]

    def say(words: str, rows: Iterable[leftovers.Leftover]) -> None:
        for leftover in rows:
            run = f"  of run {leftover.run}" if leftover.run else ""
            stdout().print(f"{words} {leftover.kind} {leftover.name}{run}", markup=False, soft_wrap=True)

    if not json:
        if found.living:
            alive = ", ".join(sorted(found.living))
            stdout().print(f"alive here: {alive}; what they use stays, and every image and flavor", markup=False)
        say("found", going)
        say("kept (--images):", kept)
        say("kept (--all-machines):", foreign)
    failed = {} if only else leftovers.remove(where, going)
    removed = [] if only else [leftover for leftover in going if leftover not in failed]
    if json:
        told: dict[str, list[Any]] = {"found": going, "kept": kept, "others": foreign, "removed": removed}
        plain = {key: [asdict(leftover) for leftover in rows] for key, rows in told.items()}
        stays = [{**asdict(leftover), "reason": reason} for leftover, reason in failed.items()]
        print_json({"schema": 1, "cloud": where.name, "alive": sorted(found.living), **plain, "failed": stays})
    else:
        say("removed", removed)
        for leftover, reason in failed.items():
            stdout().print(f"stays: {leftover.kind} {leftover.name}: {reason}", markup=False, soft_wrap=True)
        if not going:
            stdout().print("nothing to remove")
    return Problem.code if failed else 0
