"""A guest that runs now, as `predict` and `advise` are asked of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from migrascope.cli.console import EXIT_INTERRUPTED, CloudName, interruptible, stderr
from migrascope.model.hosts import hosts_problem, uri_problem, uris_in
from migrascope.model.plan import Plan
from migrascope.model.problem import UsageProblem
from migrascope.model.running import Running
from migrascope.model.units import parse_rate

if TYPE_CHECKING:
    from migrascope.study.sampled import Wanted

NEWEST = "-1"
DEADLINE_S = 300.0
"""A migration is taken to be cancelled after so long, as plans on hosts of others have it, where no plan is named."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Asked:
    """Which guest, by the command line."""

    hosts: Annotated[
        str | None, Parameter(help="Predict a domain that runs on one of these libvirt hosts: URI,URI.")
    ] = None
    domain: Annotated[str | None, Parameter(help="With --hosts: its name there.")] = None
    cloud: CloudName = None
    server: Annotated[
        str | None,
        Parameter(
            help="With --cloud: the server, by id or name; libvirt of its host by --hosts or a plan's cloud.hosts."
        ),
    ] = None
    link: Annotated[
        str | None, Parameter(help="Of a running guest: what its migration may take of the link, as in 1gbit.")
    ] = None

    @property
    def anything(self) -> bool:
        return any(value is not None for value in vars(self).values())


NOBODY = Asked()


@dataclass(frozen=True)
class Found:
    """A guest that was sampled. bandwidth_bps: what its migration would be let of the link while the guest runs, 0 for
    all of it. deadline_s: when it would be cancelled."""

    running: Running
    link_bps: float
    bandwidth_bps: float
    deadline_s: float


def asks(asked: Asked, plan: Plan | None) -> bool:
    """Whether a guest that runs now is meant, by the command line or a plan that names a domain of theirs."""
    return asked.anything or (plan is not None and plan.their_domain)


def find(asked: Asked, plan: Plan | None) -> Found | None:
    """Samples it; None where that was interrupted, which leaves nothing behind. UsageProblem where the command line
    does not say which, or over what link; NotPredicted where nothing is known of it."""
    from migrascope.study.sampled import Wanted, sample  # because the verbs that only read would start a tenth later

    by_cloud = asked.cloud is not None or asked.server is not None
    wanted = _server(asked, plan) if by_cloud else Wanted(*_domain(asked, plan))
    bandwidth_bps = _bandwidth(plan)
    link_bps, told = _link(asked, bandwidth_bps), stderr()
    done: list[Running] = []

    async def work() -> int:
        done.append(await sample(wanted, told.print))
        return 0

    if interruptible(work()) == EXIT_INTERRUPTED:
        told.print("interrupted; QEMU ends its sample by itself, and nothing else was begun")
        return None
    return Found(done[0], link_bps, bandwidth_bps, DEADLINE_S if plan is None else plan.windows.limit)


def _domain(asked: Asked, plan: Plan | None) -> tuple[Sequence[str], str]:
    """The hosts, and the domain's name."""
    if plan is not None and plan.their_domain:
        if asked.hosts is not None or asked.domain is not None:
            raise UsageProblem(f"--hosts, --domain: plan {plan.name} names them already; leave them or the plan out")
        return plan.libvirt.hosts, plan.libvirt.domain
    if asked.hosts is None:
        raise UsageProblem("which running guest? --hosts URI,URI --domain NAME, or --cloud NAME --server ID")
    uris = uris_in(asked.hosts)
    if problem := hosts_problem(uris):
        raise UsageProblem(f"--hosts: {problem}")
    if not asked.domain:
        raise UsageProblem("--domain: the name of the domain that is predicted is missing")
    return uris, asked.domain


def _server(asked: Asked, plan: Plan | None) -> "Wanted":
    """The domain of a cloud's server."""
    from migrascope.cloud.client import IMPATIENT  # openstacksdk is an extra, and takes a second
    from migrascope.study.labs.access import connect
    from migrascope.study.sampled_server import server_domain

    cloud = asked.cloud or (plan.cloud.name if plan is not None else "")
    if not cloud or not asked.server:
        raise UsageProblem("name both: --cloud NAME in clouds.yaml, and --server, its id or name")
    if asked.domain is not None:
        raise UsageProblem("--domain: a server's domain is found by its UUID; leave it out")
    hosts = dict(plan.cloud.hosts) if plan is not None else {}
    if asked.hosts is not None:
        hosts = {uri: uri for uri in uris_in(asked.hosts)}
    if problem := next((problem for problem in map(uri_problem, hosts.values()) if problem), None):
        raise UsageProblem(f"--hosts: {problem}")
    return server_domain(connect(cloud, None, IMPATIENT), asked.server, hosts)


def _bandwidth(plan: Plan | None) -> float:
    """What all policies of a plan let the migration send, in bit/s; 0 where they differ, or do not bound it."""
    bandwidths = {policy.bandwidth for policy in plan.chosen_policies().values()} if plan is not None else set()
    return bandwidths.pop() if len(bandwidths) == 1 else 0.0


def _link(asked: Asked, bandwidth_bps: float) -> float:
    """What the migration may take of the link, in bit/s: of one that nobody states what it is let."""
    if asked.link is not None:
        try:
            link_bps = parse_rate(asked.link)
        except ValueError as error:
            raise UsageProblem(f"--link: {error}") from error
        if not link_bps > 0:
            raise UsageProblem("--link: over a link of 0 nothing is migrated")
        return link_bps
    if bandwidth_bps:
        return bandwidth_bps
    raise UsageProblem(
        "--link: libvirt does not know what a migration can take of the link; give it, as in --link 1gbit"
    )
