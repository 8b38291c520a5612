"""The root image that the lab's hosts, storage and origin run their programs from."""

from migrascope.node.image import Recipe

HOST = Recipe(
    name="host",
    suite="trixie",
    packages=(
        "qemu-system-x86",
        "qemu-utils",
        "nginx",
        "ffmpeg",
        "fonts-dejavu-core",
        "iperf3",
        "busybox",
        "e2fsprogs",
        "zstd",
        "iproute2",
    ),
    # ffmpeg's packages bring a software renderer for screens that nothing here has: 200 MB, loaded on demand only.
    exclude=(
        "/usr/lib/*/libLLVM*",
        "/usr/lib/*/libgallium*",
        "/usr/lib/*/libz3.so*",
        "/usr/share/qemu/*.dtb",
        "/usr/share/qemu/openbios*",
        "/usr/share/qemu/skiboot*",
        "/usr/share/qemu/hppa*",
    ),
    folders=("/run/migrascope", "/var/lib/migrascope", "/var/cache/migrascope"),
    wanted_bytes=1_300_000_000,
)
