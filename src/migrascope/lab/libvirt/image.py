"""The root image of the lab's two hosts: QEMU as in the QEMU lab's image, libvirt, a Python that speaks to it, and
OpenSSH, which the lab does not start: by it these hosts are reached as somebody else's are."""

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
        "openssh-client",
        "openssh-server",
        "iproute2",
        "mount",
    ),
    exclude=HOST.exclude,
    folders=("/run/migrascope", "/run/libvirt", "/run/sshd", "/var/lib/migrascope", "/var/cache/migrascope"),
    commands=('rm -f "$1"/etc/ssh/ssh_host_*',),  # a host's key is its own
    wanted_bytes=1_100_000_000,
)
