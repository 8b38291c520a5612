"""`doctor`: whether this machine can run the lab, or what a cloud allows, and what to do if not."""

import os
from dataclasses import asdict
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.table import Table

from migrascope.cli.console import CloudName, Json, TestbedName, stdout
from migrascope.cli.output import print_json
from migrascope.metrics.windows import WINDOWS
from migrascope.model.axes import Axes
from migrascope.model.family import SECOND
from migrascope.model.hosts import HostsPlan, uris_in
from migrascope.model.plan import LabPlan, Plan
from migrascope.model.problem import Problem
from migrascope.study.doctor.machine import Check, checks, ipv6
from migrascope.study.plans import Options, load


def doctor(
    plan: str | None = None,
    /,
    *,
    lab: Annotated[Literal["qemu", "libvirt"] | None, Parameter(help="Another lab than the plan's.")] = None,
    cloud: CloudName = None,
    testbed: TestbedName = None,
    hosts: Annotated[str | None, Parameter(help="Two libvirt hosts of yours: URI,URI.")] = None,
    domain: Annotated[str | None, Parameter(help="With --hosts: the domain that would be migrated.")] = None,
    url: Annotated[str | None, Parameter(help="With --hosts: a page of that domain.")] = None,
    json: Json = False,
) -> int:
    """Says what this machine has and lacks for the QEMU lab or the libvirt lab, with the next command; with --cloud or
    --testbed what that cloud and our rights there allow, and which metrics will be there; with --hosts and --domain
    what two libvirt hosts allow, and which figures will be missing. 4 if a run cannot be carried out.

    Parameters
    ----------
    plan
        The name of a built-in plan or a TOML file whose run is meant; without it a plain one.
    """
    if cloud is not None or testbed is not None:
        return _doctor_cloud(plan, cloud, testbed, json)
    chosen = load(plan, Options(lab=lab, hosts=hosts, domain=domain, url=url)) if plan is not None else None
    if hosts is not None or (chosen is not None and chosen.libvirt.hosts):
        theirs = HostsPlan(hosts=uris_in(hosts or ""), domain=domain or "", url=url or "")
        return _doctor_hosts(theirs if chosen is None else chosen.libvirt, chosen, json)
    found = checks(chosen or Plan(lab=LabPlan(kind=lab or "qemu")))
    ready = not any(check.blocks for check in found)
    if json:
        print_json({"schema": 1, "ready": ready, "checks": [asdict(check) for check in found]})
    else:
        _print(found)
        stdout().print("the lab can run here" if ready else "the lab cannot run here")
    return 0 if ready else Problem.code


def _doctor_hosts(theirs: HostsPlan, plan: Plan | None, json: bool) -> int:
    import asyncio

    from migrascope.study.doctor.hosts import hosts_checks

    if plan is None:
        found = asyncio.run(hosts_checks(theirs))
    else:
        asked = hosts_checks(theirs, streamed=bool(plan.streamed), families=plan.families)
        found = [*ipv6(plan), *asyncio.run(asked)]
    ready = not any(check.blocks for check in found)
    if json:
        print_json({"schema": 1, "ready": ready, "checks": [asdict(check) for check in found]})
    else:
        _print(found)
        stdout().print("a run can be carried out" if ready else "a run cannot be carried out")
    return 0 if ready else Problem.code


def _doctor_cloud(name: str | None, cloud: str | None, testbed: str | None, json: bool) -> int:
    from migrascope.cloud.client import IMPATIENT  # openstacksdk is an extra, and takes a second
    from migrascope.metrics.catalogue import Need
    from migrascope.node.namespace import Namespace
    from migrascope.study.doctor.cloud import CloudDoctor
    from migrascope.study.doctor.metric_availability import availability
    from migrascope.study.labs.access import connect
    from migrascope.testbed.testbed import Testbed

    if os.geteuid() != 0:
        raise Problem("doctor of a cloud needs root, as runs do: sudo ./migrascope doctor --cloud NAME")
    plan = load(name, Options(lab="openstack", cloud=cloud)) if name else Plan(axes=Axes(scenario=["none", "offline"]))
    ours = Testbed(testbed) if testbed is not None else None
    client = Namespace(plan.cloud.visitors) if plan.cloud.visitors else None
    if ours is not None:
        client = ours.topology.namespaces["client"]
    doctor = CloudDoctor(connect(cloud, testbed, IMPATIENT), plan, client, hosts_in_reach=testbed is not None)
    found = doctor.checks()
    wired: set[Need] = {"ovn"} if ours is not None and ours.settings.network == "ovn" else set()
    if ours is not None and ours.settings.distributed:
        wired.add("floating")
    reasons = availability(plan, doctor.reach | wired)
    ready = not any(check.blocks for check in found)
    if json:
        metrics = {key: {"there": reason is None, "reason": reason} for key, reason in reasons.items()}
        told = [asdict(check) for check in found]
        print_json({"schema": 1, "cloud": doctor.cloud.name, "ready": ready, "checks": told, "metrics": metrics})
        return 0 if ready else Problem.code
    _print(found)
    out = stdout()
    out.print(f"\nmetrics: {sum(reason is None for reason in reasons.values())} of {len(reasons)} will be there")
    for reason in sorted({reason for reason in reasons.values() if reason}):
        out.print(f"without {', '.join(_families(reasons, reason))}: {reason}", soft_wrap=True, markup=False)
    out.print("a run can be carried out" if ready else "a run cannot be carried out")
    return 0 if ready else Problem.code


def _families(reasons: dict[str, str | None], reason: str) -> list[str]:
    """The keys that are missing for that reason: "name.*" where all of a name are, WINDOW for any window. All over IPv6
    are one."""
    found: dict[str, None] = {}
    second = all(why == reason for key, why in reasons.items() if SECOND in key)
    for key in (key for key, why in reasons.items() if why == reason):
        if second and SECOND in key:
            found["all over IPv6"] = None
            continue
        name = key.partition(".")[0]
        family = [text for text in reasons if text.partition(".")[0] == name and SECOND not in text]
        whole = len(family) > 1 and all(reasons[text] == reason for text in family)
        parts = ["WINDOW" if part in WINDOWS else part for part in key.split(".")]
        found[f"{name}.*" if whole else ".".join(parts)] = None
    return list(found)


def _print(found: list[Check]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    for _ in range(4):
        table.add_column(overflow="fold")  # a URI that is cut off leads nowhere
    for check in found:
        table.add_row(_word(check), check.name, check.found, "" if check.verdict == "pass" else check.remedy)
    stdout().print(table)


def _word(check: Check) -> str:
    if check.verdict == "fail":
        return "missing" if check.needed else "note"
    return "ok" if check.verdict == "pass" else "unknown"
