"""What runs that ended without cleaning up have left in a cloud: found by our marks, and removed."""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from migrascope.cloud.client import Cloud, CloudError
from migrascope.cloud.server import Server
from migrascope.lab.openstack.attachments import detach, orphaned
from migrascope.lab.openstack.ownership import OwnerTags
from migrascope.node.machine import TAG
from migrascope.node.register import alive

KINDS = ("server", "floating IP", "port", "volume", "security group", "image", "flavor")
"""In the order in which they can go."""
KEPT = ("image", "flavor")
"""What the next run uses again."""
_GONE_S, _POLL_S = 120.0, 1.0
_JUST_S = 10.0
"""So long Nova needs to detach the volume of a server that has only just gone."""


@dataclass(frozen=True)
class Leftover:
    """One thing in the cloud. kind: one of KINDS. run, machine: the tags of those that made it, empty where unknown."""

    kind: str
    id: str
    name: str
    run: str
    machine: str


@dataclass(frozen=True)
class Found:
    """What a cloud holds of ours that no run alive on this machine uses. left: of runs that ended; kept: what the next
    run uses again; others: made by other machines, whose runs may be alive."""

    left: list[Leftover]
    kept: list[Leftover]
    others: list[Leftover]
    living: set[str]


def find(cloud: Cloud, machine: str, living: Callable[[], set[str]] = alive) -> Found:
    """Lists everything of ours and changes nothing. machine: the tag of this one.

    living is asked after the cloud: what a run that begins meanwhile makes is not in the list. While a run is alive,
    images and flavors are not told: it may be about to use them.
    """
    found = sorted(_ours(cloud), key=lambda resource: (KINDS.index(resource.kind), resource.name))
    busy = living()
    free = [leftover for leftover in found if leftover.run not in busy and not (busy and leftover.kind in KEPT)]
    own = [leftover for leftover in free if leftover.machine == machine]
    return Found(
        left=[leftover for leftover in own if leftover.kind not in KEPT],
        kept=[leftover for leftover in own if leftover.kind in KEPT],
        others=[leftover for leftover in free if leftover.machine != machine],
        living=busy,
    )


def _ours(cloud: Cloud) -> Iterator[Leftover]:
    network, storage = cloud.connection.network, cloud.connection.block_storage

    def leftover(kind: str, thing: object, name: str, tags: Iterable[str]) -> Iterator[Leftover]:
        if marks := OwnerTags.of(tags):
            yield Leftover(kind, str(thing), name, marks.run, marks.machine)

    for server in cloud.listed(f"/servers/detail?tags={TAG}", "servers"):
        yield from leftover("server", server["id"], server["name"], server["tags"])
    own = {"project_id": cloud.project}
    for kind, listing in (
        ("floating IP", network.ips), ("port", network.ports), ("security group", network.security_groups)
    ):  # fmt: skip
        for resource in cloud.idempotent(lambda listing=listing: list(listing(**own))):  # type: ignore[misc]
            name = str(getattr(resource, "floating_ip_address", None) or resource.name)
            yield from leftover(kind, resource.id, name, str(resource.description or "").split())
    for volume in cloud.idempotent(lambda: list(storage.volumes())):
        if volume.status != "deleting":  # Cinder takes its time; one that it cannot delete is in another state then
            yield from leftover("volume", volume.id, volume.name, volume.metadata)
    for image in cloud.idempotent(lambda: list(cloud.connection.image.images(tag=TAG, owner=cloud.project))):
        yield from leftover("image", image.id, image.name, image.tags)
    for flavor in cloud.listed("/flavors/detail", "flavors", "id"):
        yield from leftover("flavor", flavor["id"], flavor["name"], str(flavor.get("description") or "").split())


def remove(cloud: Cloud, found: list[Leftover]) -> dict[Leftover, str]:
    """Removes all, and gives those that stay, each with the API's words. What is gone already is no error."""
    network, storage, images = cloud.connection.network, cloud.connection.block_storage, cloud.connection.image
    deletes: dict[str, Callable[[Leftover], object]] = {
        "server": lambda resource: Server(cloud, resource.id).delete(),
        "floating IP": lambda resource: cloud.idempotent(lambda: network.delete_ip(resource.id)),
        "port": lambda resource: cloud.idempotent(lambda: network.delete_port(resource.id)),
        "volume": lambda resource: cloud.idempotent(lambda: storage.delete_volume(resource.id)),
        "security group": lambda resource: cloud.idempotent(lambda: network.delete_security_group(resource.id)),
        "image": lambda resource: cloud.idempotent(lambda: images.delete_image(resource.id)),
        "flavor": lambda resource: cloud.compute("DELETE", f"/flavors/{resource.id}"),
    }
    failed: dict[Leftover, str] = {}
    for kind in KINDS:
        some = [leftover for leftover in found if leftover.kind == kind]
        if kind == "volume":
            _await(partial(_free, cloud, some), _JUST_S)
            _release(cloud, some)
            _await(partial(_free, cloud, some), _GONE_S)
        for leftover in some:
            try:
                deletes[kind](leftover)
            except CloudError as error:
                if error.status != 404:
                    failed[leftover] = str(error)
        if kind == "server" and some:
            failed |= _stay(cloud, [resource for resource in some if resource not in failed])
    return failed


def _stay(cloud: Cloud, servers: list[Leftover]) -> dict[Leftover, str]:
    """The servers that are still there after two minutes."""
    wanted = {leftover.id for leftover in servers}
    left: set[str] = set()

    def gone() -> bool:
        left.clear()
        left.update(wanted & {row["id"] for row in cloud.listed(f"/servers?tags={TAG}", "servers")})
        return not left

    _await(gone, _GONE_S)
    return {leftover: f"still there {_GONE_S:g} s after it was deleted" for leftover in servers if leftover.id in left}


def _free(cloud: Cloud, volumes: list[Leftover]) -> bool:
    """Whether each can be deleted: it cannot while a server has only just gone, or while it is being made."""
    found = cloud.idempotent(lambda: list(cloud.connection.block_storage.volumes())) if volumes else []
    ids = {leftover.id for leftover in volumes}
    return all(resource.status in ("available", "error") for resource in found if resource.id in ids)


def _release(cloud: Cloud, volumes: list[Leftover]) -> None:
    """Frees those that a server holds that is gone, where we are allowed to; what is not freed stays, and is told."""
    with contextlib.suppress(CloudError):
        servers = {str(row["id"]) for row in cloud.listed("/servers", "servers")}
        ids = {leftover.id for leftover in volumes}
        found = cloud.idempotent(lambda: list(cloud.connection.block_storage.volumes())) if volumes else []
        for orphan in orphaned((resource for resource in found if resource.id in ids), servers):
            detach(cloud, orphan.id)


def _await(condition: Callable[[], bool], limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    with contextlib.suppress(CloudError):
        while not condition() and time.monotonic() < deadline:
            time.sleep(_POLL_S)
