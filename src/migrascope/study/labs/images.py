"""What the QEMU lab is made of, built or found in the cache."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from migrascope.guest.image import ROOT as GUEST_ROOT
from migrascope.guest.image import guest_image, kernel_line
from migrascope.lab.boot_image import BootImage
from migrascope.lab.host_image import HOST
from migrascope.lab.qemu.topology import GATEWAY, GATEWAY_6, INSTANCE_ADDRESS, INSTANCE_ADDRESS_6, address
from migrascope.model.family import FIRST, SECOND, Family
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

    def boot_over(self, families: Sequence[Family]) -> BootImage:
        """What instances boot that have an address of each of these families."""
        return replace(self.boot, kernel_line=_line(families))


def _line(families: Sequence[Family]) -> str:
    addresses = [(f"{INSTANCE_ADDRESS}/24", GATEWAY)]
    if SECOND in families:
        addresses.append((f"{INSTANCE_ADDRESS_6}/64", GATEWAY_6))
    return kernel_line(addresses, address("origin", "external"))


async def prepare(say: Say, meanwhile: Say = lambda text: None) -> Images:
    """Removes what killed runs have left, and builds what the cache has not. ImageError says what failed."""
    removed = clean()
    if removed.labs:
        say(f"removed what {len(removed.labs)} killed run(s) had left: {', '.join(removed.labs)}")
    root, _ = await roots([HOST, GUEST_ROOT], say, meanwhile)
    guest = await guest_image(root, say=say)
    boot = BootImage(guest.kernel, guest.initrd, guest.disk, _line([FIRST]))
    return Images(root, boot, guest.live_loop, guest.hash, guest.site)
