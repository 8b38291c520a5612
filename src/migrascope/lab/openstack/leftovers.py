"""What runs that ended without cleaning up have left in a cloud: found by our marks, and removed."""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from migrascope.cloud.client import Cloud, CloudError
from migrascope.cloud.server import Server
from migrascope.lab.openstack.attachments import detach, orphaned
from migrascope.lab.openstack.ownership import TAG, OwnerTags
from migrascope.node.register import registers

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


def alive() -> set[str]:
    """The tags of the runs that are alive on this machine."""
    return {register.id for register in registers() if register.owned()}


def find(cloud: Cloud, machine: str, living: Callable[[], set[str]] = alive) -> Found:
    """Lists everything of ours and changes nothing. machine: the tag of this one.

    living is asked after the cloud: what a run that begins meanwhile makes is not in the list. While a run is alive,
    images and flavors are not told: it may be about to use them.
    """
    found = sorted(_ours(cloud), key=lambda one: (KINDS.index(one.kind), one.name))
    busy = living()
    free = [one for one in found if one.run not in busy and not (busy and one.kind in KEPT)]
    own = [one for one in free if one.machine == machine]
    return Found(
        left=[one for one in own if one.kind not in KEPT],
        kept=[one for one in own if one.kind in KEPT],
        others=[one for one in free if one.machine != machine],
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
        for one in cloud.idempotent(lambda listing=listing: list(listing(**own))):  # type: ignore[misc]
            name = str(getattr(one, "floating_ip_address", None) or one.name)
            yield from leftover(kind, one.id, name, str(one.description or "").split())
    for volume in cloud.idempotent(lambda: list(storage.volumes())):
        if volume.status != "deleting":  # Cinder takes its time; one that it cannot delete is in another state then
            yield from leftover("volume", volume.id, volume.name, volume.metadata)
    for image in cloud.idempotent(lambda: list(cloud.connection.image.images(tag=TAG, owner=cloud.project))):
        yield from leftover("image", image.id, image.name, image.tags)
    for flavor in cloud.listed("/flavors/detail", "flavors", "id"):
        yield from leftover("flavor", flavor["id"], flavor["name"], str(flavor.get("description") or "").split())


def remove(cloud: Cloud, things: list[Leftover]) -> dict[Leftover, str]:
    """Removes all, and gives those that stay, each with the API's words. What is gone already is no error."""
    network, storage, images = cloud.connection.network, cloud.connection.block_storage, cloud.connection.image
    deletes: dict[str, Callable[[Leftover], object]] = {
        "server": lambda one: Server(cloud, one.id).delete(),
        "floating IP": lambda one: cloud.idempotent(lambda: network.delete_ip(one.id)),
        "port": lambda one: cloud.idempotent(lambda: network.delete_port(one.id)),
        "volume": lambda one: cloud.idempotent(lambda: storage.delete_volume(one.id)),
        "security group": lambda one: cloud.idempotent(lambda: network.delete_security_group(one.id)),
        "image": lambda one: cloud.idempotent(lambda: images.delete_image(one.id)),
        "flavor": lambda one: cloud.compute("DELETE", f"/flavors/{one.id}"),
    }
    failed: dict[Leftover, str] = {}
    for kind in KINDS:
        some = [one for one in things if one.kind == kind]
        if kind == "volume":
            _await(partial(_free, cloud, some), _JUST_S)
            _release(cloud, some)
            _await(partial(_free, cloud, some), _GONE_S)
        for one in some:
            try:
                deletes[kind](one)
            except CloudError as error:
                if error.status != 404:
                    failed[one] = str(error)
        if kind == "server" and some:
            failed |= _stay(cloud, [one for one in some if one not in failed])
    return failed


def _stay(cloud: Cloud, servers: list[Leftover]) -> dict[Leftover, str]:
    """The servers that are still there after two minutes."""
    wanted = {one.id for one in servers}
    left: set[str] = set()

    def gone() -> bool:
        left.clear()
        left.update(wanted & {one["id"] for one in cloud.listed(f"/servers?tags={TAG}", "servers")})
        return not left

    _await(gone, _GONE_S)
    return {one: f"still there {_GONE_S:g} s after it was deleted" for one in servers if one.id in left}


def _free(cloud: Cloud, volumes: list[Leftover]) -> bool:
    """Whether each can be deleted: it cannot while a server has only just gone, or while it is being made."""
    found = cloud.idempotent(lambda: list(cloud.connection.block_storage.volumes())) if volumes else []
    ids = {one.id for one in volumes}
    return all(one.status in ("available", "error") for one in found if one.id in ids)


def _release(cloud: Cloud, volumes: list[Leftover]) -> None:
    """Frees those that a server holds that is gone, where we are allowed to; what is not freed stays, and is told."""
    with contextlib.suppress(CloudError):
        servers = {str(one["id"]) for one in cloud.listed("/servers", "servers")}
        ids = {one.id for one in volumes}
        found = cloud.idempotent(lambda: list(cloud.connection.block_storage.volumes())) if volumes else []
        for one in orphaned((one for one in found if one.id in ids), servers):
            detach(cloud, one.id)


def _await(condition: Callable[[], bool], limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    with contextlib.suppress(CloudError):
        while not condition() and time.monotonic() < deadline:
            time.sleep(_POLL_S)
