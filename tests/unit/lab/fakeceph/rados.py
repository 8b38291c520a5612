"""A Ceph cluster of one pool and two OSDs in a file, as far as lab/testbed/files/recovery.py asks it."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

_FILE = Path(os.environ["FAKE_CEPH"])
_KNOWN: dict[str, Any] = {"flags": [], "down": False, "objects": {}, "behind": [], "recovered": 0, "silent": False}


class Error(Exception):
    pass


def cluster() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_FILE.read_text(encoding="utf-8"))
    return _KNOWN | found


def keep(found: dict[str, Any]) -> None:
    part = _FILE.with_suffix(".part")
    part.write_text(json.dumps(found), encoding="utf-8")
    part.rename(_FILE)


class Pool:
    def set_namespace(self, namespace: str) -> None:
        assert namespace == "migrascope"

    def list_objects(self) -> Iterator[SimpleNamespace]:
        return (SimpleNamespace(key=key) for key in cluster()["objects"])

    def remove_object(self, key: str) -> None:
        now = cluster()
        del now["objects"][key]
        now["behind"] = [item for item in now["behind"] if item != key]
        keep(now)

    def write_full(self, key: str, data: bytes) -> None:
        now = cluster()
        now["objects"][key] = len(data)
        now["behind"] += [key] if now["down"] else []
        keep(now)

    def write(self, key: str, data: bytes, offset: int) -> None:
        self.write_full(key, data)


class Rados:
    def __init__(self, conffile: str, conf: dict[str, str]) -> None:
        assert conf["rados_osd_op_timeout"]

    def connect(self, timeout: float) -> None:
        if cluster()["silent"]:
            _FILE.with_suffix(".asked").touch()
            raise Error("timed out")

    def open_ioctx(self, pool: str) -> Pool:
        assert pool == "volumes"
        return Pool()

    def mon_command(self, words: str, data: bytes, timeout: float) -> tuple[int, bytes, str]:
        told, now = json.loads(words), cluster()
        if told["prefix"] == "osd set":
            keep(now | {"flags": sorted({*now["flags"], told["key"]})})
        elif told["prefix"] == "osd unset":
            keep(now | {"flags": [flag for flag in now["flags"] if flag != told["key"]]})
        elif told["prefix"] == "osd dump":
            pools = [{"pool": 1, "pool_name": "images"}, {"pool": 2, "pool_name": "volumes", "pg_num": 1}]
            each = [{"osd": 0, "up": 1}, {"osd": 1, "up": int(not now["down"])}]
            said = {"pools": pools, "osds": each, "flags": ",".join([*now["flags"], "sortbitwise"])}
            return 0, json.dumps(said).encode(), ""
        else:
            counts = {"num_osds": 2, "num_in_osds": 2, "num_up_osds": 2 - int(now["down"])}
            _FILE.with_suffix(".asked").touch()
            groups = [{"state_name": self._state(now), "count": 1}]
            return 0, json.dumps({"osdmap": counts, "pgmap": {"pgs_by_state": groups}}).encode(), ""
        return 0, b"", ""

    @staticmethod
    def _state(now: dict[str, Any]) -> str:
        if now["down"]:
            return "active+undersized+degraded"
        return "active+recovering+degraded" if now["behind"] else "active+clean"

    def pg_command(self, name: str, words: str, data: bytes, timeout: float) -> tuple[int, bytes, str]:
        """Each look finds one more object recovered, where that is allowed and the OSD is up."""
        assert name == "2.0"
        now = cluster()
        if now["behind"] and not now["down"] and not now["flags"]:
            now = now | {"behind": now["behind"][1:], "recovered": now["recovered"] + 1}
            keep(now)
        counts = {
            "num_objects_degraded": len(now["behind"]),
            "num_objects_recovered": now["recovered"],
            "num_bytes_recovered": now["recovered"] * 2**22,
        }
        said = {
            "state": self._state(now),
            "up": [0] if now["down"] else [0, 1],
            "info": {"stats": {"stat_sum": counts}},
        }
        return 0, json.dumps(said).encode(), ""
