"""`testbed`: a real two-node OpenStack on Ceph on this machine, brought up, looked at, taken down."""

import os
import sys
from collections.abc import Coroutine
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import cyclopts
from cyclopts import Parameter
from rich.table import Table

from migrascope.cli.console import Json, interruptible, stderr, stdout
from migrascope.cli.output import print_json
from migrascope.cli.owner import hand_over
from migrascope.cli.progress import ConsoleProgress
from migrascope.lab.testbed import life
from migrascope.model.family import SECOND
from migrascope.model.network import Activation, FloatingIps, Network, Tenant
from migrascope.model.problem import Problem, UsageProblem
from migrascope.model.units import human, parse_rate, rate_text
from migrascope.node.takedown import Cleaned
from migrascope.testbed.status import Status
from migrascope.testbed.testbed import Testbed

app = cyclopts.App(name="testbed", help="A real two-node OpenStack on Ceph on this machine.")
nodes = cyclopts.App(name="node", help="Stops or starts one node.")
links = cyclopts.App(name="link", help="Cuts a node off a network, joins it again, or makes a network slow.")
app.command(nodes)
app.command(links)

Name = Annotated[str, Parameter(name="--name", help="Which testbed; several have different names.")]
DEFAULT = "testbed"


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Change:
    """What is to be changed of Nova's settings of live migrations, by the names of testbed.settings.Migration."""

    downtime_ms: Annotated[int | None, Parameter(help="The longest pause that QEMU may plan.")] = None
    downtime_steps: Annotated[int | None, Parameter(help="In how many steps that is allowed.")] = None
    downtime_delay_s: Annotated[int | None, Parameter(help="Seconds between steps, for each GiB of memory.")] = None
    completion_timeout_s: Annotated[int | None, Parameter(help="Seconds for each GiB; 0 is no limit.")] = None
    timeout_action: Annotated[Literal["abort", "force_complete"] | None, Parameter(help="What happens then.")] = None
    permit_post_copy: Annotated[bool | None, Parameter(help="Whether a migration may become post-copy.")] = None
    permit_auto_converge: Annotated[bool | None, Parameter(help="Whether a busy guest may be slowed down.")] = None
    bandwidth_mib_s: Annotated[int | None, Parameter(help="The most that it may send; 0 is no limit.")] = None
    max_concurrent: Annotated[int | None, Parameter(help="How many leave a host at once; 0 is no limit.")] = None
    tls: Annotated[bool | None, Parameter(help="Whether the stream is encrypted.")] = None

    def given(self) -> dict[str, Any]:
        """Those that are to be changed."""
        return {name: value for name, value in asdict(self).items() if value is not None}


UNCHANGED = Change()
EXIT_UNHEALTHY = 1


def _testbed(name: str) -> Testbed:
    if os.geteuid() != 0:
        raise Problem("testbed needs root: sudo ./migrascope testbed ...")
    return Testbed(name)


@app.command
def up(
    *,
    name: Name = DEFAULT,
    virt_type: Annotated[
        life.VirtType, Parameter(help="How guests run; auto takes kvm where a boot proves it.")
    ] = "auto",
    network: Annotated[
        Network | None, Parameter(help="Who wires ports: Neutron's agents, as at first, or OVN.")
    ] = None,
    tenant: Annotated[
        Tenant | None, Parameter(help="How tenants' networks share their link: at first vlan, with OVN geneve.")
    ] = None,
    activation: Annotated[
        Activation | None,
        Parameter(help="With OVN: a port that comes is active with QEMU's RARP, as at first, or at once."),
    ] = None,
    floating_ips: Annotated[
        FloatingIps | None,
        Parameter(help="Where floating IPs are: on the controller, as at first, or, with OVN, on each server's node."),
    ] = None,
    change: Change = UNCHANGED,
) -> int:
    """Brings a testbed up: from nothing, from a snapshot, or from where an interrupted `up` left it.

    4 if it cannot be brought up, or is not healthy a minute later.
    """
    testbed = _testbed(name)
    progress = ConsoleProgress(stderr())

    async def work() -> int:
        found = await life.up(
            testbed,
            virt_type,
            progress.step,
            progress.waiting,
            network=network,
            tenant=tenant,
            activation=activation,
            floating_ips=floating_ips,
            migration=change.given(),
        )
        path = life.clouds_yaml(testbed)
        hand_over(path.parent, path)
        _show(testbed, found)
        return 0 if found.healthy else Problem.code

    return interruptible(work())


@app.command
def status(*, name: Name = DEFAULT, json: Json = False) -> int:
    """Shows nodes, services, Ceph and addresses of a testbed. 1 if it is not healthy."""
    testbed = _testbed(name)

    async def work() -> int:
        found = await life.status(testbed)
        if json:
            print_json(life.as_json(testbed, found))
        else:
            _show(testbed, found)
        return 0 if found.healthy else EXIT_UNHEALTHY

    return interruptible(work())


def _show(testbed: Testbed, found: Status) -> None:
    out = stdout()
    table = Table(box=None, pad_edge=False)
    for column in ("node", "state", "address", "memory"):
        table.add_column(column)
    for node in found.nodes:
        table.add_row(node.name, "up" if node.up else "down", node.address, human(node.memory_bytes, "B"))
    out.print(table)
    table = Table(box=None, pad_edge=False)
    for column in ("node", "service", "state", "version"):
        table.add_column(column)
    for service in found.services:
        table.add_row(service.node, service.name, service.state, service.version)
    out.print("", table, sep="\n")
    out.print(f"\nceph: {found.ceph.health}, {found.ceph.osds_up} OSDs up")
    for cut in found.cut:
        out.print(f"cut: {cut}")
    for link, rate_bps in found.rates_bps.items():
        out.print(f"rate: {link} {rate_text(rate_bps)}")
    if testbed.settings.distributed:
        out.print("floating IPs: distributed, each on the node of its server")
    if SECOND not in testbed.settings.families:
        out.print(
            "ipv6: none: it was made without; `testbed down --purge` and `up`, on a kernel that has it", soft_wrap=True
        )
    folder = life.clouds_yaml(testbed).parent
    out.print(f"cloud: cd {folder} && openstack --os-cloud migrascope server list", soft_wrap=True, markup=False)
    out.print(f"horizon: {life.horizon(testbed)}", markup=False)
    out.print("healthy" if found.healthy else "not healthy")


@app.command
def migration(
    *,
    name: Name = DEFAULT,
    json: Json = False,
    change: Change = UNCHANGED,
) -> int:
    """Shows Nova's settings of live migrations and changes those that are given, while the testbed runs."""
    testbed = _testbed(name)

    async def work() -> int:
        await life.set_migration(testbed, change.given())
        shown = asdict(testbed.settings.migration)
        if json:
            print_json({"schema": 1, **shown})
        else:
            stdout().print("\n".join(f"{key} {value}" for key, value in shown.items()), markup=False)
        return 0

    return interruptible(work())


@app.command
def shell(node: str, /, *command: Annotated[str, Parameter(allow_leading_hyphen=True)], name: Name = DEFAULT) -> None:
    """Opens a shell in a node, or runs a command there.

    Parameters
    ----------
    node
        controller or compute.
    """
    argv = _testbed(name).node(node).command(list(command) or ["bash", "--login"], environment=_terminal())
    os.execvp(argv[0], argv)


@app.command
def logs(node: str, service: str | None = None, /, *, name: Name = DEFAULT) -> None:
    """Shows the journal of a node, or of one of its services, also while the node is down.

    On a terminal its last 1000 lines.

    Parameters
    ----------
    node
        controller or compute.
    service
        The name of a unit, nova-compute for example.
    """
    options = ["--no-hostname", *(["--unit", service] if service else [])]
    if sys.stdout.isatty():
        options.append("--pager-end")
    argv = _testbed(name).node(node).journal(options, environment=_terminal())
    os.execvp(argv[0], argv)


def _terminal() -> list[str]:
    return [f"{key}={os.environ[key]}" for key in ("TERM", "COLUMNS", "NO_COLOR") if key in os.environ]


@app.command
def down(
    *,
    name: Name = DEFAULT,
    purge: Annotated[bool, Parameter(negative="", help="Remove what its nodes have written, too.")] = False,
) -> int:
    """Powers a testbed off; the next `up` goes on with the same disks. 4 if something stays that should go."""
    testbed = _testbed(name)

    async def work() -> int:
        removed = life.purge(testbed) if purge else await testbed.down()
        stdout().print("\n".join(_removed(removed)), markup=False, soft_wrap=True)
        return Problem.code if removed.left else 0

    return interruptible(work())


def _removed(removed: Cleaned) -> list[str]:
    counts = {"process": len(removed.processes), "namespace": len(removed.namespaces), "cgroup": len(removed.cgroups)}
    gone = [f"{count} {noun}{'es' if noun == 'process' else 's'}" for noun, count in counts.items() if count]
    gone += ["its state"] if removed.labs else []
    lines = [f"removed {', '.join(gone)}"] if gone else []
    return lines + [f"stays: {words}" for words in removed.left] or ["there was nothing to take down"]


async def _done(work: Coroutine[Any, Any, None]) -> int:
    await work
    return 0


@nodes.command(name="stop")
def node_stop(
    node: str,
    /,
    *,
    name: Name = DEFAULT,
    kill: Annotated[bool, Parameter(negative="", help="As by a power cut.")] = False,
) -> int:
    """Powers one node off."""
    return interruptible(_done(_testbed(name).stop_node(node, kill=kill)))


@nodes.command(name="start")
def node_start(node: str, /, *, name: Name = DEFAULT) -> int:
    """Boots one node and starts its services."""
    return interruptible(_done(life.start_node(_testbed(name), node, ConsoleProgress(stderr()).step)))


@links.command(name="down")
def link_down(node: str, network: str, /, *, name: Name = DEFAULT) -> int:
    """Cuts a node off a network, in both directions."""
    _testbed(name).cut(node, network, cut=True)
    return 0


@links.command(name="up")
def link_up(node: str, network: str, /, *, name: Name = DEFAULT) -> int:
    """Joins a node to a network again."""
    _testbed(name).cut(node, network, cut=False)
    return 0


@links.command(name="rate")
def link_rate(network: str, rate: str, /, *, name: Name = DEFAULT) -> int:
    """Limits what each node may send on a network, until it is set again; also over `down` and `up`.

    Parameters
    ----------
    rate
        100mbit for example, or none.
    """
    try:
        rate_bps = None if rate == "none" else parse_rate(rate)
    except ValueError as error:
        raise UsageProblem(str(error)) from None
    _testbed(name).rate(network, rate_bps)
    return 0
