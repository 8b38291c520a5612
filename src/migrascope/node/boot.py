"""The start of a node: enter its cgroup and network, lay its layer over the image, become systemd-nspawn.

Run by node.container as a program with one JSON argument. All mounts are its own: they go when the node does.
"""

import json
import os
import sys
from pathlib import Path

from migrascope.node import cgroup
from migrascope.node.sandbox import ends_in_words, mount, set_namespace, unshare_mounts
from migrascope.store.removal import remove_tree


def main() -> None:
    how = json.loads(sys.argv[1])
    if how["cgroup"]:
        Path(how["cgroup"], "cgroup.procs").write_text("0", encoding="utf-8")
    set_namespace(how["namespace"])
    unshare_mounts()
    forget_mount(Path(how["work"]))
    # volatile: what the node flushes to its disk goes no further than this machine's memory, which the kernel writes
    # out in its own time. A node that is killed loses nothing by that; databases do not wait for this machine's disk.
    layers = f"lowerdir={how['image']},upperdir={how['layer']},workdir={how['work']},volatile"
    mount("overlay", how["root"], "overlay", 0, layers)
    if cgroup.hierarchy() != cgroup.ROOT:
        # nspawn gives a node version 2 only where it sees nothing else.
        mount("cgroup2", str(cgroup.ROOT), "cgroup2", 0)
    # nspawn's locks and sockets in /run would stay behind when a node is killed.
    mount("tmpfs", "/run", "tmpfs", 0, "mode=755")
    os.execvp(how["argv"][0], how["argv"])


def forget_mount(work: Path) -> None:
    """Removes the mark by which overlayfs refuses a layer that was mounted volatile before."""
    remove_tree(work / "work/incompat/volatile", work)


if __name__ == "__main__":
    ends_in_words(main)
