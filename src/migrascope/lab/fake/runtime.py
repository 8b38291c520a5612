"""The fake lab's runtime: its programs are recorders of a world, and its guest's website and agent answer from it."""

import asyncio
import json
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from migrascope.lab.fake import programs, traffic
from migrascope.lab.fake.programs import Recorder
from migrascope.lab.fake.world import World
from migrascope.model.clock import mono_ns
from migrascope.node.namespace import Namespace
from migrascope.node.process_spec import ProcessSpec
from migrascope.workload.scenario import LIVE_PLAYLIST

CLIENT, ORIGIN = "192.0.2.1", "192.0.2.2"
PAGE = b"<h1>a website that nobody serves</h1>"
STREAM = b"#EXTM3U of a stream that nobody serves"
BOOT_S = 4.0
_PROGRAMS: dict[str, type[Recorder]] = {
    "probe.echo": traffic.Echo,
    "probe.liveness": programs.Liveness,
    "probe.qmp": programs.Qmp,
    "probe.link": programs.Links,
    "probe.frames": programs.Frames,
    "probe.machine": programs.Machine,
    "probe.collector": programs.Collector,
    "probe.stress": programs.Stress,
    "workload.visitors": traffic.Visitors,
    "workload.viewer": traffic.Viewer,
    "workload.sink": programs.Sink,
}


def addresses(number: int) -> tuple[str, str]:
    """The IPv4 and the IPv6 address of a guest."""
    first = f"198.51.100.{number}"
    return first, _beside(first)


def _beside(first: str) -> str:
    return f"2001:db8::{first.rpartition('.')[2]}"


class FakeRuntime:
    """Stands for this machine. worlds: by the addresses of their guests; the lab adds and removes them."""

    def __init__(self, worlds: Mapping[str, World]) -> None:
        self._worlds = worlds
        self._port = 40000

    async def start(self, member: ProcessSpec, config: dict[str, Any], log: Path) -> Recorder:
        """A program belongs to the world that it is aimed at, else to the only one."""
        world = self._world(config.get("target", "")) or next(iter(self._worlds.values()))
        kind = _PROGRAMS.get(member.module.removeprefix("migrascope."), programs.Nothing)
        return kind(world, member, config)

    async def request(
        self, client: Namespace | None, url: str, *, post: bool = False, timeout_s: float
    ) -> tuple[int, bytes]:
        parts = urlsplit(url)
        if parts.hostname == ORIGIN:
            return 200, STREAM
        world = self._world(parts.hostname or "")
        if world is None:
            raise OSError("nobody has this address")
        await world.heard(timeout_s)
        await asyncio.sleep(0.002)
        if mono_ns() < world.born + round(BOOT_S * 1e9):
            raise OSError("it boots")
        if parts.port is None:
            return 200, STREAM if parts.path == LIVE_PLAYLIST else PAGE
        answer = _agent(world, parts.path, dict(parse_qsl(parts.query)), post=post)
        return (404, b"") if answer is None else (200, json.dumps(answer).encode())

    def free_port(self, client: Namespace | None, towards: str, kind: socket.SocketKind) -> tuple[str, int]:
        self._port += 1
        return CLIENT, self._port

    async def pinged(self, client: Namespace | None, address: str) -> bool:
        world = self._world(address)
        return world is not None and world.silence_at(mono_ns()) is None

    def _world(self, address: str) -> World | None:
        """Whose guest has the address, of either family."""
        return next((world for first, world in self._worlds.items() if address in (first, _beside(first))), None)


def _agent(world: World, path: str, given: dict[str, str], *, post: bool) -> dict[str, Any] | None:
    """What the agent in the guest answers; None for what it does not know."""
    said: dict[str, Callable[[], dict[str, Any]]] = {
        "/ready": dict,
        "/cache": lambda: {"state": given["state"]},
        "/resident": dict,
        "/alive": lambda: {"boot_id": world.boot_id, "counter": world.alive(given["id"])[0]},
        "/ledger": lambda: _set(world, ledger_rate=float(given["rate"])),
        "/stress": lambda: _set(world, load=given, load_since=mono_ns()) if post else _workers(world),
        "/reflector": lambda: {} if post else {"workers": [{"state": "running", "reason": ""}]},
        "/stop": lambda: _set(world, load=None),
        "/load": lambda: {"uptime_s": world.lived_s(), "idle_s": 0.7 * world.lived_s(), "cpus": world.factors.vcpus},
        "/witness": lambda: {
            "bad": 0 if world.script.whole else 3, "pages": 1024, "rewritten": 900, "whole": world.script.whole,
        },
    }  # fmt: skip
    return said[path]() if path in said else None


def _set(world: World, **values: Any) -> dict[str, Any]:
    for name, value in values.items():
        setattr(world, name, value)
    return {}


def _workers(world: World) -> dict[str, Any]:
    return {"workers": [] if world.load is None else [{"state": "running", "reason": ""}]}
