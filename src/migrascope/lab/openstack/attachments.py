"""Volumes that stay attached to servers that are gone, as a failure can leave them; nobody can delete these."""

from collections.abc import Iterable, Set
from functools import partial
from typing import Any

from migrascope.cloud.client import Cloud, answered


def orphaned(volumes: Iterable[Any], servers: Set[str]) -> list[Any]:
    """Those of Cinder's volumes that are attached to none of these servers (ids), but to others."""
    return [
        volume
        for volume in volumes
        if (held := {str(to["server_id"]) for to in volume.attachments}) and not held & servers
    ]


def detach(cloud: Cloud, volume: str) -> None:
    """Makes a volume available again, in Cinder's records alone. CloudError where that is not allowed to us."""
    body = {"os-reset_status": {"status": "available", "attach_status": "detached"}}
    post = partial(cloud.connection.block_storage.post, f"/volumes/{volume}/action", json=body)
    cloud.once(lambda: answered(post()))
