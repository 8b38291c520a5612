"""The guest: kernel, initramfs and disk of the instance, and the live loop of the origin, built once."""

import asyncio
import hashlib
import json
import lzma
import re
import shutil
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from migrascope.guest import site, video
from migrascope.node.image import IMAGES, ImageError, Recipe, Say, cached, digest, root_image
from migrascope.node.paths import STATE
from migrascope.node.process import ProcessError, Where, run
from migrascope.store.removal import remove_tree

ROOT = Recipe(
    name="guest-root",
    suite="trixie",
    packages=("nginx", "python3-minimal", "busybox-static", "dropbear-bin"),
    # Debian's kernel for clouds: fewer drivers to probe than linux-image-amd64, ext4 and PCI's virtio built in.
    unpacked=("linux-image-cloud-amd64",),
    wanted_bytes=500_000_000,
)
KERNEL_OPTIONS = (
    "console=ttyS0",
    "root=/dev/vda",
    "rw",
    "panic=0",  # a dead guest stays dead
    "oops=panic",  # a corrupted one dies at once, and a panic turns `quiet` off by itself
    "quiet",
    "net.ifnames=0",
    "mitigations=off",  # against attacks that nobody makes here, and dear to emulate
    "no_timer_check",  # QEMU's timer is routed rightly; the check waits ten ticks
    # Each packet, request and wake-up costs an emulated guest less without these: under load a clock that is found
    # unstable is replaced by one whose every reading leaves the guest, memory is cleared and checked again and again.
    "tsc=reliable",
    "cpuidle.off=1",
    "preempt=none",
    "nowatchdog",
    "init_on_alloc=0",
    "hardened_usercopy=off",
)
_MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "virtio_rng", "ext4")
_NOT_COPIED = ("boot", "dev", "proc", "run", "sys", "tmp")
_UNWANTED = (
    "usr/lib/modules",
    "usr/lib/*/gconv",
    "usr/lib/*/perl-base",
    "usr/share/perl*",
    "var/lib/apt",
    "var/lib/dpkg",
)
_FREE_BYTES = 256 * 2**20
_FILES = Path(__file__).parent / "files"
_PACKAGE = Path(__file__).parents[1]
# What runs in the guest, of this package: below its library folder with the same names, compiled.
_IN_GUEST = (
    "guest/agent.py",
    "guest/ledger.py",
    "guest/memory.py",
    "guest/reflector.py",
    "guest/server.py",
    "guest/steps.py",
    "guest/stress.py",
    "guest/workers.py",
    "model/stamp.py",
    "model/witness.py",
)
_SOURCES = (
    "image.py",
    "site.py",
    "video.py",
    "files/init",
    "files/inittab",
    "files/lease",
    "files/nginx.conf",
    "files/rc",
)


@dataclass(frozen=True)
class GuestImage:
    """What an instance boots, and the segments that the origin sends. facts: versions and sizes for the manifest.
    site: SHA-256 of each file of the website by its path there, but for the one that the guest changes."""

    kernel: Path
    initrd: Path
    disk: Path
    live_loop: Path
    hash: str
    site: dict[str, str]
    facts: dict[str, Any]


def kernel_line(addresses: Sequence[tuple[str, str]], origin: str) -> str:
    """The guest's kernel command line. addresses: of IPv4, and of IPv6 where it has one, each with its prefix length
    and beside it that of its router; "lease" for one by DHCP, and of IPv6 "advertised" for one that the guest makes of
    what a router advertises. origin: the address of the live stream, with its port
    where that is not 80."""
    given = [
        f"ms.{name}{family}={value}"
        for family, pair in zip(("", "6"), addresses, strict=False)
        for name, value in zip(("address", "gateway"), pair, strict=True)
    ]
    return " ".join((*KERNEL_OPTIONS, *given, f"ms.origin={origin}"))


def cloud_kernel_line(origin: str) -> str:
    """The same in a cloud: the guest has its address by DHCP, and its owner's key and user data from the metadata."""
    return " ".join((*KERNEL_OPTIONS, "ms.address=dhcp", f"ms.origin={origin}"))


async def guest_image(host_root: Path, cache: Path = IMAGES, say: Say = lambda text: None) -> GuestImage:
    """The guest's image, built unless it is there, by programs of the host image. ImageError when that fails.

    The cache lies below place.CACHE, which the host image's programs see too.
    """
    root = await root_image(ROOT, cache, say)
    sources = [(_PACKAGE / name).read_bytes() for name in (*_IN_GUEST, *(f"guest/{name}" for name in _SOURCES))]
    key = digest(ROOT.digest().encode(), *sources)

    async def build(part: Path) -> None:
        STATE.mkdir(parents=True, exist_ok=True)  # seen by the host image's programs, on a fresh machine too
        try:
            await _Build(part, root, Where(root=host_root)).all()
        except (ProcessError, KeyError, ValueError, IndexError, lzma.LZMAError) as error:
            raise ImageError(
                f"the guest image could not be built: {error}\n"
                f"  next: when no lab runs, rm -r {root} {host_root}: both are then built anew"
            ) from error

    folder = await cached("guest", key, build, cache, say, wanted_bytes=600_000_000)
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    return GuestImage(
        folder / "kernel",
        folder / "initrd",
        folder / "disk",
        folder / "live",
        key,
        json.loads((folder / "site.json").read_text(encoding="utf-8")),
        {**facts, "guest_image": key},
    )


class _Build:
    """One build into the folder `part`: from the unpacked root to what QEMU boots."""

    def __init__(self, part: Path, root: Path, where: Where) -> None:
        self.part, self.root, self.where = part, root, where
        self.tree = part / "tree"

    async def all(self) -> None:
        self.part.mkdir()
        modules = next((self.root / "usr/lib/modules").iterdir())
        videos = asyncio.create_task(self._videos())
        try:
            await self._kernel(next((self.root / "boot").glob("vmlinuz-*")))
            await asyncio.to_thread(self._initramfs, modules)
            await self._copy_root()
            await videos
        finally:
            videos.cancel()
            await asyncio.gather(videos, return_exceptions=True)
        self._website()
        await self._programs()
        await self._disk()
        facts = {"kernel": modules.name, "nginx": self._version("nginx"), "python": self._version("python3-minimal")}
        (self.part / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
        await asyncio.to_thread(remove_tree, self.tree, self.part)
        await asyncio.to_thread(remove_tree, self.part / "video", self.part)

    async def _kernel(self, compressed: Path) -> None:
        """Unpacks the kernel: QEMU starts an ELF kernel directly (PVH), and an emulated guest unpacks nothing."""
        image = compressed.read_bytes()
        # The boot protocol's header: number of setup sectors, then offset and length of the payload after them.
        setup = (image[0x1F1] + 1) * 512
        offset, length = struct.unpack_from("<II", image, 0x248)
        payload = self.part / "kernel.zst"
        # The last four bytes of the payload are the unpacked size, no part of the stream.
        payload.write_bytes(image[setup + offset : setup + offset + length - 4])
        await run("zstd", ["/usr/bin/zstd", "-dqf", str(payload), "-o", str(self.part / "kernel")], self.where)
        payload.unlink()

    def _initramfs(self, modules: Path) -> None:
        """busybox, the modules in the order of their need, and our init, as a cpio archive."""
        needed = _needed_modules(modules)
        entries: list[tuple[str, int, bytes]] = [(name, 0o040755, b"") for name in ("bin", "dev", "root", "modules")]
        entries.append(("bin/busybox", 0o100755, (self.root / "usr/bin/busybox").read_bytes()))
        entries.append(("init", 0o100755, (_FILES / "init").read_bytes()))
        entries += [(f"modules/{name}.ko", 0o100644, content) for name, content in needed.items()]
        entries.append(("modules/order", 0o100644, "\n".join(needed).encode()))
        (self.part / "initrd").write_bytes(cpio(entries))

    async def _copy_root(self) -> None:
        """The guest's own files: the root without what only building it needed, and without device nodes."""
        self.tree.mkdir()
        kept = [str(path) for path in self.root.iterdir() if path.name not in _NOT_COPIED]
        await run("cp", ["/bin/cp", "-a", *kept, str(self.tree)], Where())
        for pattern in _UNWANTED:
            for path in self.tree.glob(pattern):
                remove_tree(path, self.tree)
        for folder in ("dev", "proc", "sys", "run", "tmp"):
            (self.tree / folder).mkdir()
        for folder in ("var/log/nginx", "var/lib/nginx", "var/lib/migrascope", "etc/migrascope", "srv/site"):
            (self.tree / folder).mkdir(parents=True, exist_ok=True)
        shutil.copy(_FILES / "nginx.conf", self.tree / "etc/migrascope/nginx.conf")
        shutil.copy(_FILES / "inittab", self.tree / "etc/inittab")
        (self.tree / "etc/dropbear").mkdir(exist_ok=True)
        for script in ("rc", "lease"):
            shutil.copy(_FILES / script, self.tree / "etc/migrascope" / script)
            (self.tree / "etc/migrascope" / script).chmod(0o755)
        init = self.tree / "usr/sbin/init"
        init.unlink(missing_ok=True)
        init.symlink_to("../bin/busybox")

    async def _videos(self) -> None:
        made = self.part / "video"
        hls, live = made / "hls", self.part / "live"
        for folder in (made, hls, live):
            folder.mkdir()
        file, loop = made / "video.mp4", self.part / "loop.mp4"
        await run("ffmpeg", video.encode_command(file, loop), self.where, timeout_s=300)
        await run("ffmpeg", video.segment_command(file, hls, video.FILE_SEGMENT_S), self.where)
        await run("ffmpeg", video.segment_command(loop, live, video.LIVE_SEGMENT_S), self.where)
        video.write_loop_index(live)
        loop.unlink()

    def _website(self) -> None:
        site.write(self.tree / "srv/site")
        shutil.copytree(self.part / "video", self.tree / "srv/site/video")
        root = self.tree / "srv/site"
        sums = {
            f"/{path.relative_to(root)}": hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(root.rglob("*"))
            if path.is_file() and path.name != "online.html"  # the guest writes the origin's address into that
        }
        (self.part / "site.json").write_text(json.dumps(sums, indent=1), encoding="utf-8")

    async def _programs(self) -> None:
        """Compiled here, for compiling takes an emulated guest long at every boot. Sources would go before them."""
        library = self.tree / "usr/lib/migrascope"
        for name in _IN_GUEST:
            target = library / "migrascope" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(_PACKAGE / name, target)
        script = (
            "import py_compile, sys\nfor name in sys.argv[1:]: py_compile.compile(name, name + 'c', doraise=True,"
            " invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)"
        )
        names = [f"/usr/lib/migrascope/migrascope/{name}" for name in _IN_GUEST]
        await run("python3", ["/usr/sbin/chroot", str(self.tree), "/usr/bin/python3", "-c", script, *names], Where())
        for source in library.rglob("*.py"):
            source.unlink()

    async def _disk(self) -> None:
        """An ext4 file system with the tree in it, sparse; nothing is mounted for it."""
        content = sum(path.lstat().st_size for path in self.tree.rglob("*"))
        blocks = (content * 11 // 10 + _FREE_BYTES) // 4096
        command = [
            "/usr/sbin/mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-O", "^metadata_csum,^64bit,^orphan_file",
            "-E", "lazy_itable_init=0,lazy_journal_init=0,hash_seed=6d696772-6173-636f-7065-000000000000",
            "-U", "6d696772-6173-636f-7065-000000000001", "-m", "0", "-L", "migrascope",
            "-d", str(self.tree), str(self.part / "disk"), str(blocks),
        ]  # fmt: skip
        await run("mke2fs", command, self.where)

    def _version(self, package: str) -> str:
        for entry in (self.root / "var/lib/dpkg/status").read_text(encoding="utf-8").split("\n\n"):
            if entry.startswith(f"Package: {package}\n"):
                return next(line[9:] for line in entry.splitlines() if line.startswith("Version: "))
        raise KeyError(package)


def _module_name(path: str) -> str:
    return Path(path).name.split(".")[0].replace("-", "_")


def _needed_modules(modules: Path) -> dict[str, bytes]:
    """Name and content of what must be loaded, each after what it depends on; built-in ones need nothing."""
    paths = {_module_name(str(path)): path for path in (modules / "kernel").rglob("*.ko*")}
    builtin = {_module_name(line) for line in (modules / "modules.builtin").read_text(encoding="utf-8").splitlines()}
    needed: dict[str, bytes] = {}

    def add(name: str) -> None:
        if name in builtin or name in needed:
            return
        content = paths[name].read_bytes()
        if paths[name].suffix == ".xz":
            content = lzma.decompress(content)
        depends = re.search(rb"\0depends=([^\0]*)\0", content)
        for other in depends[1].decode().split(",") if depends and depends[1] else []:
            add(other)
        needed[name] = content

    for name in _MODULES:
        add(name)
    return needed


def cpio(entries: list[tuple[str, int, bytes]]) -> bytes:
    """A newc archive of (name, mode, content), all owned by root and without times: the same bytes each time."""
    archive = bytearray()
    for number, (name, mode, content) in enumerate([*entries, ("TRAILER!!!", 0, b"")]):
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        archive += b"070701" + "".join(f"{field:08X}" for field in fields).encode() + name.encode() + b"\0"
        archive += bytes(-len(archive) % 4) + content
        archive += bytes(-len(archive) % 4)
    return bytes(archive)
