"""Images of the cache that others of the same name have superseded: after 30 days without use they go.

Several versions of Migrascope on one machine share the cache, so what is superseded for one is what another uses. When
an image was last asked for is the time stamp of its lock.
"""

import contextlib
import os
import re
import time
from pathlib import Path

from migrascope.node.lock import free
from migrascope.node.paths import LABS, TESTBEDS
from migrascope.node.register import registers
from migrascope.store.removal import NotRemoved, remove_tree

UNUSED_DAYS = 30
_NAME = re.compile(r"(.+)-[0-9a-f]{16}")


def lock_of(image: Path) -> Path:
    """The file that is held while the image is built or removed."""
    return image.with_suffix(".lock")


def used(image: Path) -> None:
    """Says that the image is asked for now."""
    lock_of(image).touch(0o600)


def remove_superseded(cache: Path, labs: Path = LABS, testbeds: Path = TESTBEDS) -> list[str]:
    """Removes them, gives their names. Of each name the image last used stays, and every one of which a lab that lives
    or a testbed, up or not, is made; where one of these does not say what it is made of, all stay."""
    for left in cache.glob("*.gone"):
        _remove(left)
    removed = []
    for image in _superseded(cache):
        gone = image.with_suffix(".gone")
        with free(lock_of(image)) as holder:
            kept = holder or time.time() - _last_use(image) < UNUSED_DAYS * 86400 or _made_of(image, labs, testbeds)
            if kept or not image.exists():
                continue
            image.rename(gone)
        image.with_suffix(".log").unlink(missing_ok=True)
        if _remove(gone):
            removed.append(image.name)
    return removed


def _remove(gone: Path) -> bool:
    """Whether it is wholly removed; if not, it is tried again next time."""
    with contextlib.suppress(NotRemoved):
        return remove_tree(gone, gone.parent)
    return False


def _superseded(cache: Path) -> list[Path]:
    by_name: dict[str, list[Path]] = {}
    for image in sorted(cache.glob("*-*")):
        if (name := _NAME.fullmatch(image.name)) and image.is_dir():
            if not lock_of(image).exists():
                used(image)
            by_name.setdefault(name[1], []).append(image)
    return [image for images in by_name.values() for image in sorted(images, key=_last_use)[:-1]]


def _last_use(image: Path) -> float:
    return os.stat(lock_of(image)).st_mtime


def _made_of(image: Path, labs: Path, testbeds: Path) -> bool:
    """Whether a living lab or a testbed is made of it, or may be."""
    alive = [*(register for register in registers(labs) if register.owned()), *registers(testbeds)]
    parts = [register.images() for register in alive]
    return any(paths is None or any(path.is_relative_to(image) for path in paths) for paths in parts)
