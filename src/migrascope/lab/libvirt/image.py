"""The root image of the lab's two hosts: QEMU as in the QEMU lab's image, libvirt, and a Python that speaks to it."""

from migrascope.lab.host_image import HOST
from migrascope.node.image import Recipe

LIBVIRT_HOST = Recipe(
    name="libvirt-host",
    suite=HOST.suite,
    packages=(
        "qemu-system-x86",
        "qemu-utils",
        "libvirt-daemon",
        "libvirt-daemon-driver-qemu",
        "libvirt-daemon-driver-storage",
        "python3-libvirt",
        "iproute2",
        "mount",
    ),
    exclude=HOST.exclude,
    folders=("/run/migrascope", "/run/libvirt", "/var/lib/migrascope", "/var/cache/migrascope"),
    wanted_bytes=1_100_000_000,
)
