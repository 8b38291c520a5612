"""A volume that nobody uses any more, as a raw image of an ext4 file system: is it whole, and what does it hold."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from migrascope.node.process import Where, start
from migrascope.store.removal import remove_tree

LEDGER = "/var/lib/migrascope/ledger"
SITE = "/srv/site"
_LIMIT_S = 60.0


@dataclass(frozen=True)
class OfflineVolume:
    """ledger: its file, empty where there is none. fsck_code, fsck_text: e2fsck's answer (0: clean). site: SHA-256 of
    each file of the website by its path there."""

    ledger: bytes
    fsck_code: int
    fsck_text: str
    site: dict[str, str]


async def examine(disk: Path, where: Where, folder: Path) -> OfflineVolume:
    """Reads a volume, after replaying its journal in place, as a mount would. folder: for what is taken out of it.

    where: a root with e2fsprogs. ProcessError or TimeoutError where its programs cannot run.
    """
    await _run("replay", ["e2fsck", "-y", "-E", "journal_only", str(disk)], where, folder)
    code, text = await _run("fsck", ["e2fsck", "-fn", str(disk)], where, folder)
    ledger, site = folder / "offline-ledger", folder / "offline-site"
    site.mkdir()
    await _run("debugfs", ["debugfs", "-R", f"dump {LEDGER} {ledger}", str(disk)], where, folder)
    await _run("debugfs", ["debugfs", "-R", f"rdump {SITE} {site}", str(disk)], where, folder)
    try:
        return OfflineVolume(ledger.read_bytes() if ledger.exists() else b"", code, text, _checksums(site))
    finally:
        ledger.unlink(missing_ok=True)
        remove_tree(site, folder)


async def _run(name: str, argv: list[str], where: Where, folder: Path) -> tuple[int, str]:
    """Exit code and words of a program that says with its code what it found."""
    log = folder / f"offline-{name}.log"
    log.unlink(missing_ok=True)
    process = await start(name, argv, where, log)
    try:
        code = await process.wait(_LIMIT_S)
    finally:
        await process.kill()
    return code, log.read_text(encoding="utf-8", errors="replace")


def _checksums(folder: Path) -> dict[str, str]:
    root = folder / Path(SITE).name
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {f"/{path.relative_to(root)}": hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
