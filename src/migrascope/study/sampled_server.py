"""Which domain a cloud's server is, so that its hosts' libvirt can be asked of it."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote
from uuid import UUID

from migrascope.cloud.client import Cloud, CloudError
from migrascope.cloud.server import Server
from migrascope.model.problem import UsageProblem
from migrascope.predict.request import NotPredicted
from migrascope.study.sampled import Wanted

_RUNS = ("ACTIVE", "MIGRATING")
_WHERE = ("OS-EXT-SRV-ATTR:hypervisor_hostname", "OS-EXT-SRV-ATTR:host")


def server_domain(cloud: Cloud, server: str, hosts: Mapping[str, str]) -> Wanted:
    """The domain of a cloud's server, by its id or its name. hosts: libvirt's URIs of those in reach, by their names in
    Compute, or whatever they are called. UsageProblem where there is no such server, or several of the name;
    NotPredicted where it does not run, or no host is in reach."""
    found = _server(cloud, server)
    name = found.get("name") or found["id"]
    if found["status"] not in _RUNS:
        raise NotPredicted(
            f"cannot be predicted, because {name} is {found['status']}: what it writes shows only while it runs\n"
            "  next: again, once it is ACTIVE"
        )
    if not hosts:
        raise NotPredicted(
            f"cannot be predicted, because the cloud {cloud.name} shows neither what {name} writes nor what its "
            "memory holds\n"
            "  next: where libvirt of its hosts is in reach: --hosts qemu+ssh://HOST/system, or cloud.hosts in a plan"
        )
    known = [hosts[where] for where in (str(found.get(key)) for key in _WHERE) if where in hosts]
    return Wanted(known[:1] or list(hosts.values()), name, found["id"])


def _server(cloud: Cloud, server: str) -> dict[str, Any]:
    if _is_uuid(server):
        try:
            return Server(cloud, server).show()
        except CloudError as error:
            if error.status != 404:
                raise
            raise UsageProblem(f"--server: the cloud {cloud.name} shows us no server {server}") from error
    rows = cloud.listed(f"/servers/detail?name={quote(f'^{re.escape(server)}$')}", "servers")
    found = [row for row in rows if row["name"] == server]
    if not found:
        others = "; one of another project is found by its id alone"
        raise UsageProblem(f"--server: the cloud {cloud.name} has no server {server} in our project{others}")
    if len(found) > 1:
        ids = ", ".join(row["id"] for row in found)
        raise UsageProblem(f"--server: the cloud {cloud.name} has several of the name {server}: {ids}; give the id")
    return found[0]


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
