"""Stands for libvirt's module: two hosts whose state is a JSON file, which every process that plays a client shares.

The file (FAKE_LIBVIRT): hosts ({URI: {name, uuid, refuses: words, read_only, pools: {name: bytes free}, networks:
{name: active}, leases: names of those with a DHCP server, ipv6: {name: slaac or dhcp, as addresses of it come}}}),
domain ({name, uuid, xml, persistent}), states ({host: virDomainState}), limits ({host: ms}), job ({host, began: wall s}
or null), events ([host, name, wall ns, details]), asked (names of calls and flags), migrates_s, fails (words), unheard
(words), dirty ({rates: MiB/s by period, refuses: words, rss: KiB, busy: processors, period: s that were asked for last,
looks: at what came of it}).
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_STEP_S = 0.01
_RUNNING, _PAUSED, _OFF = 1, 3, 5
_heard: list[tuple["Connection", Callable[..., None], int]] = []


class libvirtError(Exception):
    """As libvirt's."""


def __getattr__(name: str) -> int:
    """Every constant is 0, and is kept as asked for."""
    if not name.startswith("VIR_"):
        raise AttributeError(name)
    with _state() as state:
        state["asked"].append(name)
    return 0


@contextlib.contextmanager
def _state() -> Iterator[dict[str, Any]]:
    """The state, which is kept as it is left. A client that ends meanwhile leaves all of it or nothing."""
    path = Path(os.environ["FAKE_LIBVIRT"])
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = path.read_text()
        state = json.loads(before)
        yield state
        if (after := json.dumps(state)) != before:
            new = path.with_suffix(".new")
            new.write_text(after)
            new.replace(path)


def registerErrorHandler(*_: object) -> None:
    """Nobody handles errors here."""


def virEventRegisterDefaultImpl() -> None:
    """There is one loop."""


def virEventRunDefaultImpl() -> None:
    """Tells each event to those who have registered before it."""
    time.sleep(_STEP_S)
    if not _heard:
        return
    with _state() as state:
        events, uuid = state["events"], state["domain"]["uuid"]
    for at, (connection, callback, told) in enumerate(list(_heard)):
        _heard[at] = (connection, callback, len(events))
        for host, name, wall, details in events[told:]:
            if host == connection.name:
                domain = Domain(connection, uuid)
                callback(connection, domain, name, wall // 10**9, wall // 1000 % 10**6, json.dumps(details), None)


def heard(connection: "Connection", callback: Callable[..., None]) -> int:
    """Registers for QEMU's events."""
    with _state() as state:
        if state["unheard"]:
            raise libvirtError(state["unheard"])
        _heard.append((connection, callback, len(state["events"])))
    return len(_heard) - 1


def open(uri: str) -> "Connection":  # noqa: A001
    with _state() as state:
        host = state["hosts"].get(uri)
    if host is None or host["refuses"]:
        raise libvirtError(host["refuses"] if host else f"unable to connect to server at '{uri}'")
    return Connection(host)


def openReadOnly(uri: str) -> "Connection":
    with _state() as state:
        host = state["hosts"].get(uri)
    if host is None or not host["read_only"]:
        raise libvirtError("authentication unavailable")
    return Connection(host)


class Connection:
    def __init__(self, host: dict[str, Any]) -> None:
        self.name, self._host = host["name"], host

    def getLibVersion(self) -> int:
        return int(self._host.get("libvirt", 11003000))

    def getVersion(self) -> int:
        return int(self._host.get("qemu", 10000002))

    def getHostname(self) -> str:
        return str(self.name)

    def getCapabilities(self) -> str:
        return f"<capabilities><host><uuid>{self._host['uuid']}</uuid></host></capabilities>"

    def setKeepAlive(self, *_: int) -> int:
        return 0

    def isAlive(self) -> bool:
        return True

    def domainEventRegisterAny(self, *_: object) -> int:
        return 0

    def compareHypervisorCPU(self, *_: object) -> int:
        return int(self._host.get("cpu", 1))

    def listInterfaces(self) -> list[str]:
        return list(self._host.get("interfaces", []))

    def domainListGetStats(self, domains: "list[Domain]", *_: int) -> "list[tuple[Domain, dict[str, int]]]":
        """Has measured at the second look."""
        with _state() as state:
            dirty = state["dirty"]
            dirty["looks"] += 1
            measured = dirty["looks"] > 1
            stats = {"dirtyrate.calc_status": 2 if measured else 1, "dirtyrate.calc_period": dirty["period"]}
            if measured:
                stats["dirtyrate.megabytes_per_second"] = dirty["rates"][str(dirty["period"])]
        return [(domain, stats) for domain in domains]

    def networkLookupByName(self, name: str) -> "Network":
        if name not in self._host.get("networks", {}):
            raise libvirtError(f"Network not found: no network with matching name '{name}'")
        leases, ipv6 = name in self._host.get("leases", []), self._host.get("ipv6", {}).get(name, "")
        return Network(self._host["networks"][name], leases=leases, ipv6=ipv6)

    def storagePoolLookupByName(self, name: str) -> "Pool":
        if name not in self._host.get("pools", {}):
            raise libvirtError(f"Storage pool not found: no storage pool with matching name '{name}'")
        return Pool(self._host["pools"][name])

    def storageVolLookupByPath(self, path: str) -> "Volume":
        if path not in self._host.get("volumes", {}):
            raise libvirtError(f"Storage volume not found: no storage vol with matching path '{path}'")
        return Volume(self._host["volumes"][path])

    def lookupByName(self, name: str) -> "Domain":
        with _state() as state:
            if name == state["domain"]["name"] and self.name in state["states"]:
                return Domain(self, state["domain"]["uuid"])
        raise libvirtError(f"Domain not found: no domain with matching name '{name}'")

    def lookupByUUIDString(self, uuid: str) -> "Domain":
        with _state() as state:
            if uuid == state["domain"]["uuid"] and self.name in state["states"]:
                return Domain(self, uuid)
        raise libvirtError(f"Domain not found: no domain with matching uuid '{uuid}'")


class Network:
    def __init__(self, active: int, *, leases: bool, ipv6: str) -> None:
        self._active, self._leases, self._ipv6 = active, leases, ipv6

    def isActive(self) -> int:
        return self._active

    def XMLDesc(self, _flags: int) -> str:
        dhcp = {"dhcp": "<dhcp/>"}.get(self._ipv6, "")
        second = f"<ip family='ipv6' address='2001:db8::1' prefix='64'>{dhcp}</ip>" if self._ipv6 else ""
        return f"<network><ip address='192.0.2.1'>{'<dhcp/>' if self._leases else ''}</ip>{second}</network>"


class Pool:
    def __init__(self, free: int) -> None:
        self._free = free

    def XMLDesc(self, _flags: int) -> str:
        return '<pool type="dir"><target><path>/srv/pool</path></target></pool>'

    def info(self) -> list[int]:
        return [2, 2 * self._free, self._free, self._free]


class Volume:
    def __init__(self, size: int) -> None:
        self._size = size

    def info(self) -> list[int]:
        return [0, self._size, self._size]


class Domain:
    def __init__(self, connection: Connection, uuid: str) -> None:
        self._host, self._uuid = connection.name, uuid

    def UUIDString(self) -> str:
        return self._uuid

    def state(self) -> list[int]:
        with _state() as state:
            return [state["states"][self._host], 0]

    def info(self) -> list[int]:
        with _state() as state:
            busy = state["dirty"]["busy"]
        return [_RUNNING, 2**19, 2**19, 2, int(time.monotonic() * busy * 1e9)]

    def memoryStats(self) -> dict[str, int]:
        with _state() as state:
            return {"actual": 2**19, "rss": state["dirty"]["rss"]}

    def startDirtyRateCalc(self, period_s: int, _flags: int) -> int:
        with _state() as state:
            if state["dirty"]["refuses"]:
                raise libvirtError(state["dirty"]["refuses"])
            state["dirty"] |= {"period": period_s, "looks": 0}
            state["asked"].append(f"dirty rate over {period_s} s")
        return 0

    def isPersistent(self) -> int:
        with _state() as state:
            return int(state["domain"]["persistent"])

    def XMLDesc(self, _flags: int) -> str:
        with _state() as state:
            return str(state["domain"]["xml"])

    def jobInfo(self) -> list[int]:
        with _state() as state:
            job = state["job"]
        if job is None or job["host"] != self._host:
            return [0, 0, 0]
        return [2, round((time.time() - job["began"]) * 1000), 0]

    def jobStats(self, _flags: int) -> dict[str, int]:
        info = self.jobInfo()
        return {"type": info[0], "time_elapsed": info[1], "operation": 5}

    def migrateGetMaxDowntime(self, _flags: int) -> int:
        with _state() as state:
            return int(state["limits"].get(self._host, 300))

    def migrateSetMaxDowntime(self, limit_ms: int, _flags: int) -> None:
        with _state() as state:
            state["limits"][self._host] = limit_ms
            state["asked"].append(f"limit {limit_ms}")

    def reboot(self, _flags: int) -> None:
        with _state() as state:
            state["asked"].append("reboot")

    def abortJob(self) -> None:
        with _state() as state:
            if state["job"] is None:
                raise libvirtError("no job is active on the domain")
            state["job"] = None
            state["asked"].append("abort")

    def migrate3(self, to: Connection, parameters: dict[str, Any], _flags: int) -> "Domain":
        """Moves it in the time that the state says, unless somebody aborts it meanwhile."""
        with _state() as state:
            if state["fails"]:
                raise libvirtError(state["fails"])
            state["asked"].append(f"migrate {json.dumps(parameters)}")
            state["job"] = {"host": self._host, "began": time.time()}
            self._tell(state, self._host, "MIGRATION_PASS", {"pass": 1})
            until = time.time() + state["migrates_s"]
        while time.time() < until:
            time.sleep(_STEP_S)
            with _state() as state:
                if state["job"] is None:
                    raise libvirtError("operation aborted: migration out job: canceled by client")
        with _state() as state:
            self._tell(state, self._host, "STOP", {})
            self._tell(state, to.name, "RESUME", {})
            self._tell(state, self._host, "MIGRATION", {"status": "completed"})
            state["job"] = None
            state["limits"].pop(self._host, None)
            state["states"][to.name] = _RUNNING
            if state["domain"]["persistent"] and not state.get("away"):
                state["states"][self._host], state["away"] = _OFF, True
            else:
                del state["states"][self._host]
                state["away"] = False
        return Domain(to, self._uuid)

    @staticmethod
    def _tell(state: dict[str, Any], host: str, name: str, details: dict[str, Any]) -> None:
        state["events"].append([host, name, time.time_ns(), details])
