"""Snapshots: what the nodes of a testbed that has just been brought up have written, for the next `up` to start from.

A snapshot is what a power cut at that moment would leave on the disks: both nodes are frozen while it is copied.
Its passwords come with it, so it is for root alone.
"""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from migrascope.node.container import Container
from migrascope.node.lock import locked
from migrascope.node.paths import CACHE
from migrascope.node.process import Where, run
from migrascope.node.wait import wait_until
from migrascope.store.removal import NotRemoved, remove_tree
from migrascope.testbed.runner import Progress

SNAPSHOTS = CACHE / "snapshots"
_STATE = ("secret", "done.json")


async def save(
    folder: Path, nodes: Mapping[str, Container], key: str, say: Progress, snapshots: Path = SNAPSHOTS
) -> Path:
    """Copies the state of nodes that run, unless another testbed has kept a snapshot of this key meanwhile. Of those
    whose keys begin alike up to the last "-", only this one is kept."""
    snapshots.mkdir(mode=0o700, parents=True, exist_ok=True)
    final, part = snapshots / key, snapshots / f"{key}.part"
    async with _alone(snapshots, say):
        if final.exists():
            return final
        remove_tree(part, snapshots)
        part.mkdir()
        try:
            async with _frozen(nodes):
                await asyncio.gather(*(_copy(node.layer, part / name, part) for name, node in nodes.items()))
            for name in _STATE:
                shutil.copy2(folder / name, part / name)
        except BaseException:
            with contextlib.suppress(NotRemoved):  # the next snapshot says it; why this one failed matters more
                remove_tree(part, snapshots)
            raise
        for old in snapshots.glob(f"{key.rpartition('-')[0]}-*"):
            if old != part:
                remove_tree(old, snapshots)
        part.rename(final)
    return final


async def restore(
    folder: Path, nodes: Mapping[str, Container], key: str, say: Progress, snapshots: Path = SNAPSHOTS
) -> bool:
    """Gives nodes that are down the state of a snapshot in place of any of theirs; False when there is none.

    What says which tasks are done comes last: without it, the state is not whole.
    """
    kept = snapshots / key
    if not kept.exists():
        return False
    async with _alone(snapshots, say, shared=True):
        if not kept.exists():
            return False
        for node in nodes.values():
            node.folder.mkdir(exist_ok=True)
        await asyncio.gather(*(_copy(kept / name, node.layer, folder) for name, node in nodes.items()))
        for name in _STATE:
            shutil.copy2(kept / name, folder / name)
    return True


def _alone(snapshots: Path, say: Progress, *, shared: bool = False) -> AbstractAsyncContextManager[None]:
    def waiting(holder: str) -> None:
        say(f"{holder} copies another testbed's snapshot, waiting")

    return locked(snapshots / "lock", waiting, shared=shared)


async def _copy(source: Path, target: Path, below: Path) -> None:
    """Copies a folder in place of another, which is below a third. NotRemoved where the old one stays."""
    await asyncio.to_thread(remove_tree, target, below)
    # Databases reserve room by writing zeros: a third of a layer, which need not be written nor read again.
    copy = ["cp", "--archive", "--sparse=always", str(source), str(target)]
    await run("copying a node's layer", copy, Where(), timeout_s=300)


@contextlib.asynccontextmanager
async def _frozen(nodes: Mapping[str, Container]) -> AsyncIterator[None]:
    try:
        for node in nodes.values():
            node.freeze(frozen=True)
        for node in nodes.values():
            await wait_until(node.frozen, 10, f"{node.name} is frozen")
        yield
    finally:
        for node in nodes.values():
            node.freeze(frozen=False)
