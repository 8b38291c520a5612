"""The website's image in a cloud: found by its content, or uploaded."""

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

from migrascope.cloud.client import Cloud, CloudError
from migrascope.lab.boot_image import BootImage
from migrascope.lab.openstack.ownership import InstanceRequest
from migrascope.node.machine import TAG

_UPLOAD_S = 900
_HARDWARE = {"hw_disk_bus": "virtio", "hw_vif_model": "virtio", "hw_rng_model": "virtio"}


def image_of(cloud: Cloud, request: InstanceRequest, boot: BootImage) -> Any:
    """The wished image, or the one that holds this guest; where there is none it is uploaded, with its kernel, and
    stays for the next run. Blocks. CloudError when there is no such image, or the upload is refused."""
    images = cloud.connection.image
    if request.image:
        found = cloud.idempotent(lambda: images.find_image(request.image))
        if found is None:
            raise CloudError(
                f"cloud {cloud.name} has no image {request.image}; leave cloud.image out of the plan to upload one"
            )
        return found
    disk = _sha512(boot.disk)
    for resource in cloud.idempotent(lambda: list(images.images(status="active"))):
        if resource.hash_value == disk and (resource.properties or {}).get("os_command_line") == boot.kernel_line:
            return resource
    upload = partial(_upload, cloud, [TAG, request.machine])
    words = {"kernel_id": upload("kernel", boot.kernel), "ramdisk_id": upload("initrd", boot.initrd)}
    made = upload("website", boot.disk, min_disk=1, os_command_line=boot.kernel_line, **words, **_HARDWARE)
    return cloud.idempotent(lambda: images.get_image(made))


def _upload(cloud: Cloud, tags: list[str], name: str, file: Path, **words: Any) -> str:
    made = cloud.once(
        lambda: cloud.connection.image.create_image(
            f"{TAG}-{name}", filename=str(file), disk_format="raw", container_format="bare", visibility="private",
            allow_duplicates=True, timeout=_UPLOAD_S, tags=tags, **words,
        )
    )  # fmt: skip
    return str(made.id)


def _sha512(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha512").hexdigest()
