"""A program that loads a store: `storewriter.py file FOLDER BYTES RATE`, `storewriter.py rados NAMESPACE BYTES RATE`.

It lays out so many bytes and says "ready". Told "go" it writes blocks at random places among them, each on the store
before the next, RATE bytes a second or what the store takes, and says "runs" after the first. When its standard input
ends it removes all of it and says as JSON what it has done.

It runs on the standard library alone; for RADOS on a node's own Python with Ceph's module, as a text.
"""

import json
import os
import queue
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

BLOCK = 2**16
_PIECE = 2**22
_LATE_S = 0.1
_ANSWERS_S = "30"


class Disk:
    """A file without a name: it is gone when the program is, whichever way that ends."""

    def __init__(self, folder: str) -> None:
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115

    def write(self, data: bytes, offset: int) -> None:
        os.pwrite(self._file.fileno(), data, offset)
        os.fdatasync(self._file.fileno())

    def remove(self) -> None:
        self._file.close()


class Objects:
    """Objects of the size that a volume's have, in a namespace of their own of the volumes' pool."""

    def __init__(self, namespace: str) -> None:
        import rados

        limits = {"rados_osd_op_timeout": _ANSWERS_S, "rados_mon_op_timeout": _ANSWERS_S}
        cluster: Any = rados.Rados(conffile="/etc/ceph/ceph.conf", conf=limits)
        cluster.connect(timeout=5)
        self._pool = cluster.open_ioctx("volumes")
        self._pool.set_namespace(namespace)

    def write(self, data: bytes, offset: int) -> None:
        self._pool.write(f"load-{offset // _PIECE}", data, offset % _PIECE)

    def remove(self) -> None:
        for stored in list(self._pool.list_objects()):
            if stored.key.startswith("load-"):
                self._pool.remove_object(stored.key)


class Load:
    """Blocks at random places of a store, at a rate (bytes/s)."""

    def __init__(self, write: Callable[[bytes, int], None], size: int, rate: float) -> None:
        self._write, self._size, self._every_s = write, size, BLOCK / rate
        self._block, self._chance = os.urandom(BLOCK), random.Random()
        self._began = self._due = 0.0
        self.blocks, self.slowest_s = 0, 0.0

    def wait_s(self) -> float:
        """How long until the next block is due."""
        return max(0.0, self._due - time.monotonic()) if self.blocks else 0.0

    def step(self) -> None:
        """Writes a block. What the store was too slow for is not made up for."""
        asked = time.monotonic()
        if not self.blocks:
            self._began = self._due = asked
        self._write(self._block, self._chance.randrange(max(1, self._size // BLOCK)) * BLOCK)
        done = time.monotonic()
        self._due = max(self._due + self._every_s, done - _LATE_S)
        self.blocks, self.slowest_s = self.blocks + 1, max(self.slowest_s, done - asked)

    def done(self) -> dict[str, float]:
        """Bytes written since the first block, until now, and how long the slowest took."""
        seconds = time.monotonic() - self._began if self.blocks else 0.0
        return {"bytes": self.blocks * BLOCK, "seconds": seconds, "slowest_s": self.slowest_s}


def listen(words: "queue.Queue[str]") -> None:
    """What it is told, and "" at the end."""
    for line in sys.stdin:
        words.put(line.strip())
    words.put("")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def lay(store: Disk | Objects, size: int, words: "queue.Queue[str]") -> None:
    """Fills the store, until it is told to end."""
    piece = os.urandom(_PIECE)
    for offset in range(0, size, _PIECE):
        if not words.empty():
            return
        store.write(piece[: size - offset], offset)


def run(load: Load, words: "queue.Queue[str]") -> None:
    """Writes until it is told to end."""
    while True:
        try:
            words.get(timeout=load.wait_s())
        except queue.Empty:
            load.step()
            if load.blocks == 1:
                say("runs")
        else:
            return


def main() -> None:
    kind, where, size, rate = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    words: queue.Queue[str] = queue.Queue()
    threading.Thread(target=listen, args=(words,), daemon=True).start()
    store = Disk(where) if kind == "file" else Objects(where)
    load = Load(store.write, size, rate)
    try:
        lay(store, size, words)
        say("ready")
        if words.get() == "go":
            run(load, words)
        done = load.done()
    finally:
        store.remove()
    say(json.dumps(done))


if __name__ == "__main__":
    try:
        main()
    except Exception as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.stderr.flush()
        os._exit(1)  # a thread that still listens would be in the way
