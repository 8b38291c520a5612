"""A recovery of Ceph: `behind NAMESPACE OSD BYTES` brings one about, `whole NAMESPACE SECONDS` takes back what others
have left of one, and waits until there are all copies.

`behind` forbids recovery, says "ready" and is told what comes next. "down": it waits until the OSD is, and writes so
many bytes of objects, of which that one has no copy. "up": it waits until the OSD is up again and behind. "go": it
allows recovery, answers when it is seen to run, and follows it. When its standard input ends it takes all of it back
and says as JSON how far the recovery had come.

It runs on a node's own Python with Ceph's module, to which it is given as text.
"""

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import rados

_FLAGS = ("norecover", "nobackfill")
_PIECE = 2**22
_STEP_S, _WHOLE_STEP_S, _ANSWERS_S = 0.05, 0.5, 30


def connected() -> Any:
    limits = {"rados_osd_op_timeout": str(_ANSWERS_S), "rados_mon_op_timeout": str(_ANSWERS_S)}
    cluster = rados.Rados(conffile="/etc/ceph/ceph.conf", conf=limits)
    cluster.connect(timeout=5)
    return cluster


def ask(cluster: Any, **words: str) -> Any:
    """A monitor's answer."""
    code, answer, problem = cluster.mon_command(json.dumps({"format": "json", **words}), b"", timeout=_ANSWERS_S)
    if code:
        raise RuntimeError(f"{words}: {problem}")
    return json.loads(answer or "null")


def own(cluster: Any, namespace: str) -> Any:
    """A namespace of the volumes' pool."""
    pool = cluster.open_ioctx("volumes")
    pool.set_namespace(namespace)
    return pool


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class Groups:
    """The placement groups of the volumes, as their OSDs see them at this moment."""

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster
        (pool,) = (pool for pool in ask(cluster, prefix="osd dump")["pools"] if pool["pool_name"] == "volumes")
        self._names = [f"{pool['pool']}.{number:x}" for number in range(pool["pg_num"])]
        self.states: list[str] = []
        self.homes: list[list[int]] = []
        self.degraded = self.recovered = self.recovered_bytes = 0

    def look(self) -> "Groups":
        """Asks each of them."""
        self.states, self.homes, self.degraded, self.recovered, self.recovered_bytes = [], [], 0, 0, 0
        for name in self._names:
            words = json.dumps({"prefix": "query", "pgid": name})
            code, answer, problem = self._cluster.pg_command(name, words, b"", timeout=_ANSWERS_S)
            if code:
                raise RuntimeError(f"query {name}: {problem}")
            said = json.loads(answer)
            counts = said["info"]["stats"]["stat_sum"]
            self.states.append(said["state"])
            self.homes.append(said["up"])
            self.degraded += counts["num_objects_degraded"]
            self.recovered += counts["num_objects_recovered"]
            self.recovered_bytes += counts["num_bytes_recovered"]
        return self

    def on(self, osd: int) -> bool:
        """Whether each takes requests, and is to be on an OSD, behind or not."""
        return all("active" in state.split("+") for state in self.states) and all(osd in home for home in self.homes)

    @property
    def clean(self) -> bool:
        return all(state.startswith("active+clean") for state in self.states)


class Ended(Exception):
    """Nothing more is wanted."""


class Behind:
    """One recovery. words: what it is told."""

    def __init__(self, namespace: str, osd: int, size: int, words: "queue.Queue[str]") -> None:
        self._cluster, self._osd, self._size, self._words = connected(), osd, size, words
        self._pool = own(self._cluster, namespace)
        self._groups = Groups(self._cluster)
        self._began, self._behind = 0.0, 0
        self._before = (0, 0)
        self._seconds: float | None = None

    def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            if not self._words.empty():
                raise Ended
            time.sleep(_STEP_S)

    def _is_up(self) -> bool:
        osds = ask(self._cluster, prefix="osd dump")["osds"]
        return any(osd["osd"] == self._osd and osd["up"] for osd in osds)

    def forbid(self) -> None:
        for flag in _FLAGS:
            ask(self._cluster, prefix="osd set", key=flag)

    def down(self) -> None:
        """Writes what the OSD will have to catch up with."""
        self._until(lambda: not self._is_up())
        piece = os.urandom(_PIECE)
        for offset in range(0, self._size, _PIECE):
            if not self._words.empty():
                raise Ended
            self._pool.write_full(f"behind-{offset // _PIECE}", piece[: self._size - offset])

    def up(self) -> None:
        wanted = -(-self._size // _PIECE)
        self._until(self._is_up)
        self._until(lambda: self._groups.look().on(self._osd) and self._groups.degraded >= wanted)

    def go(self) -> str:
        """Allows it, and waits until the first object has been recovered. How many are behind."""
        found = self._groups.look()
        self._behind, self._before = found.degraded, (found.recovered, found.recovered_bytes)
        for flag in _FLAGS:
            ask(self._cluster, prefix="osd unset", key=flag)
        self._began = time.monotonic()
        self._until(lambda: self._groups.look().recovered > self._before[0])
        return str(self._behind)

    def follow(self) -> None:
        """Until all is there, or nothing more is wanted."""
        while self._words.empty():
            if self._groups.look().clean:
                self._seconds = time.monotonic() - self._began
                return
            time.sleep(_STEP_S)

    def end(self) -> str:
        """How far it came, "" where it never began."""
        if not self._began:
            return ""
        found = self._groups.look()
        said = {
            "behind": self._behind,
            "objects": found.recovered - self._before[0],
            "bytes": found.recovered_bytes - self._before[1],
            "done": found.clean,
            "seconds": self._seconds or time.monotonic() - self._began,
        }
        return json.dumps(said)

    def undo(self) -> None:
        allow(self._cluster)
        empty(self._pool)


def allow(cluster: Any) -> list[str]:
    """The flags that it unset."""
    flags = [flag for flag in ask(cluster, prefix="osd dump")["flags"].split(",") if flag in _FLAGS]
    for flag in flags:
        ask(cluster, prefix="osd unset", key=flag)
    return flags


def empty(pool: Any) -> int:
    """How many objects it removed."""
    left = [stored.key for stored in pool.list_objects()]
    for key in left:
        pool.remove_object(key)
    return len(left)


def listen(words: "queue.Queue[str]") -> None:
    for line in sys.stdin:
        words.put(line.strip())
    words.put("")


def behind(namespace: str, osd: int, size: int) -> None:
    words: queue.Queue[str] = queue.Queue()
    threading.Thread(target=listen, args=(words,), daemon=True).start()
    recovery = Behind(namespace, osd, size, words)
    said = ""
    try:
        recovery.forbid()
        say("ready")
        while word := words.get():
            if word == "go":
                say(recovery.go())
                recovery.follow()
            else:
                {"down": recovery.down, "up": recovery.up}[word]()
                say(word)
        said = recovery.end()
    except Ended:
        pass
    finally:
        recovery.undo()
    say(said)


def lacks(status: Any) -> str:
    """What keeps a cluster from having all copies of everything, "" where nothing does."""
    osds, groups = status["osdmap"], status["pgmap"]["pgs_by_state"]
    if not osds["num_up_osds"] == osds["num_in_osds"] == osds["num_osds"]:
        return f"of {osds['num_osds']} OSDs {osds['num_up_osds']} are up"
    return ", ".join(group["state_name"] for group in groups if not group["state_name"].startswith("active+clean"))


def whole(namespace: str, seconds: float) -> None:
    """Says what it took back, and how long it waited. RuntimeError where that is not enough."""
    began, cluster, waited = time.monotonic(), None, 0.0
    while True:
        try:
            cluster = cluster or connected()
            for flag in allow(cluster):
                say(f"unset {flag} of Ceph")
            why = lacks(ask(cluster, prefix="status"))
        except (rados.Error, RuntimeError) as error:
            why = str(error)
        if cluster and not why:
            break
        if waited > seconds:
            raise RuntimeError(f"Ceph does not have all copies after {seconds:g} s: {why}")
        time.sleep(_WHOLE_STEP_S)
        waited = time.monotonic() - began
    if waited:
        say(f"wait {waited:.1f} s until Ceph has all copies")
    if left := empty(own(cluster, namespace)):
        say(f"remove {left} objects of load from Ceph")


def main() -> None:
    kind, *rest = sys.argv[1:]
    if kind == "behind":
        behind(rest[0], int(rest[1]), int(rest[2]))
    else:
        whole(rest[0], float(rest[1]))


try:
    main()
except Exception as error:
    sys.stderr.write(f"{type(error).__name__}: {error}\n")
    sys.stderr.flush()
    os._exit(1)  # a thread that still listens would be in the way
