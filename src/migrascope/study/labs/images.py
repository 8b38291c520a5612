"""What the QEMU lab is made of, built or found in the cache."""

from dataclasses import dataclass
from pathlib import Path

from migrascope.guest.image import ROOT as GUEST_ROOT
from migrascope.guest.image import guest_image, kernel_line
from migrascope.lab.boot_image import BootImage
from migrascope.lab.host_image import HOST
from migrascope.lab.qemu.topology import GATEWAY, INSTANCE_ADDRESS, address
from migrascope.node.image import Say, roots
from migrascope.node.takedown import clean


@dataclass(frozen=True)
class Images:
    """The hosts' root, what instances boot, the origin's live loop, the guest image's hash and its site's checksums."""

    host_root: Path
    boot: BootImage
    live_loop: Path
    guest: str
    site: dict[str, str]


async def prepare(say: Say, meanwhile: Say = lambda text: None) -> Images:
    """Removes what killed runs have left, and builds what the cache has not. ImageError says what failed."""
    removed = clean()
    if removed.labs:
        say(f"removed what {len(removed.labs)} killed run(s) had left: {', '.join(removed.labs)}")
    root, _ = await roots([HOST, GUEST_ROOT], say, meanwhile)
    guest = await guest_image(root, say=say)
    line = kernel_line(f"{INSTANCE_ADDRESS}/24", GATEWAY, address("origin", "external"))
    return Images(
        root, BootImage(guest.kernel, guest.initrd, guest.disk, line), guest.live_loop, guest.hash, guest.site
    )
