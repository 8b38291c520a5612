"""A cloud without machines: it speaks the HTTP of Keystone, Nova, Neutron, Cinder and Glance as far as we ask it.

    with FakeCloud() as cloud:
        Cloud.connect("fake", cloud.clouds_yaml(tmp_path))

Its faults are a test's to set; every request that it gets is in `requests`. It listens on loopback, on a free port.
"""

import asyncio
import json
import re
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from aiohttp import web
from fakenova import FakeNova, Refused

PASSWORD, PROJECT = "a-password-of-the-fake-cloud", "p" * 32
MICROVERSION = "2.90"


@dataclass
class Fault:
    """What the API does to requests whose "METHOD path" matches, instead of what they ask for.

    status 0: the connection is closed without an answer; silent_s: there is none for so long. after: whether what was
    asked for is done all the same, and only the answer is lost. times: how often; None: always.
    """

    request: str
    status: int
    message: str = "The fake cloud fails as it was told to."
    headers: dict[str, str] = field(default_factory=dict)
    times: int | None = 1
    after: bool = False
    silent_s: float = 0.0

    def takes(self, request: str) -> bool:
        if self.times == 0 or not re.fullmatch(self.request, request):
            return False
        self.times = None if self.times is None else self.times - 1
        return True


class FakeCloud:
    """Two hosts, one routed network, an external one, and an administrator. What is in it is public, by kind and id."""

    def __init__(self, *, roles: tuple[str, ...] = ("admin",), hosts: tuple[str, ...] = ("one", "two")) -> None:
        self.roles = roles
        self.volume_birth, self.why = "available", "schedule allocate volume: No backend has room."
        self.faults: list[Fault] = []
        self.requests: list[tuple[float, str]] = []
        self.tokens: set[str] = set()
        self._numbers = count(1)
        self.quotas = {"instances": 10, "cores": 20, "ram": 51200, "volumes": 10, "gigabytes": 1000, "floatingip": 50,
                       "port": 500, "security_group": 10}  # fmt: skip
        self.nova = FakeNova(self, hosts)
        self.things: dict[str, dict[str, dict[str, Any]]] = {
            "networks": {}, "ports": {}, "floatingips": {}, "security_groups": {}, "security_group_rules": {},
            "volumes": {}, "images": {}, "messages": {}, "subnets": {},
        }  # fmt: skip
        self.inner = self.add("networks", name="inner", **{"router:external": False})["id"]
        self.outer = self.add("networks", name="outer", **{"router:external": True})["id"]
        self.router = self.add("ports", name="", network_id=self.inner, device_owner="network:router_interface")
        self.url = ""

    def add_ipv6(self, cidr: str, mode: str | None = "slaac", *, routed: bool = True) -> None:
        """A subnet of IPv6 on the inner network. mode: of addresses and advertisements."""
        words = {"ipv6_address_mode": mode, "ipv6_ra_mode": mode, "cidr": cidr, "ip_version": 6}
        made = self.add("subnets", name="inner-ipv6", network_id=self.inner, **words)
        if routed:
            self.router["fixed_ips"] = [{"subnet_id": made["id"], "ip_address": cidr.replace("/64", "1")}]

    def new_id(self) -> str:
        return f"{next(self._numbers):08x}-0000-4000-8000-000000000000"

    def add(self, kind: str, **words: Any) -> dict[str, Any]:
        """One more thing of a kind, as if somebody had made it."""
        made = {"id": self.new_id(), "name": "", "description": "", "tags": [], "project_id": PROJECT,
                "tenant_id": PROJECT, "device_owner": "", **words}  # fmt: skip
        self.things[kind][made["id"]] = made
        return made

    def names(self, kind: str) -> list[str]:
        """Those that there are, by name."""
        found = self.nova.servers if kind == "servers" else self.things[kind]
        return sorted(row["name"] for row in found.values())

    def asked(self, pattern: str) -> int:
        """How many requests "METHOD path" matched."""
        return sum(bool(re.fullmatch(pattern, request)) for _, request in self.requests)

    def clouds_yaml(self, folder: Path, **more: Any) -> Path:
        auth = {"auth_url": f"{self.url}/identity/v3", "username": "somebody", "password": PASSWORD,
                "project_name": "ours", "user_domain_name": "Default", "project_domain_name": "Default"}  # fmt: skip
        path = folder / "clouds.yaml"
        path.write_text(
            json.dumps({"clouds": {"fake": {"auth": auth, "region_name": "One", **more}}}), encoding="utf-8"
        )
        return path

    # The server, in a thread of its own: the client blocks.

    def __enter__(self) -> "FakeCloud":
        started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, args=(started,), daemon=True)
        self._thread.start()
        assert started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _serve(self, started: threading.Event) -> None:
        async def begin() -> web.AppRunner:
            app = web.Application(client_max_size=2**30)
            app.router.add_route("*", "/{tail:.*}", self._answer)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            assert site._server is not None
            self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]
            return runner

        async def end(runner: web.AppRunner) -> None:
            await runner.cleanup()
            silent = asyncio.all_tasks() - {asyncio.current_task()}
            for task in silent:
                task.cancel()
            await asyncio.gather(*silent, return_exceptions=True)

        runner = self._loop.run_until_complete(begin())
        started.set()
        self._loop.run_forever()
        self._loop.run_until_complete(end(runner))
        self._loop.close()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        asked = f"{request.method} {request.path}"
        self.requests.append((time.monotonic(), asked))
        fault = next((item for item in self.faults if item.takes(asked)), None)
        if fault is None:
            return await self._route(request)
        if fault.after:
            await self._route(request)
        await asyncio.sleep(fault.silent_s)
        if fault.status == 0:
            assert request.transport is not None
            request.transport.close()
        return _refusal(fault.status or 500, fault.message, fault.headers)

    async def _route(self, request: web.Request) -> web.Response:
        service, _, path = request.path.strip("/").partition("/")
        if service == "identity":
            return await self._identity(request, path)
        if path in ("", "v2.1", "v3") or (service == "image" and not path):
            return self._version(service)
        if request.headers.get("X-Auth-Token") not in self.tokens:
            return _refusal(401, "The request you have made requires authentication.")
        try:
            raw = await request.read()
            binary = "octet-stream" in request.headers.get("Content-Type", "")
            body = {} if binary or not raw else json.loads(raw)
            query = dict(request.query)
            if service == "compute":
                found = self.nova.answer(request.method, path.removeprefix("v2.1/"), query, body, "admin" in self.roles)
            else:
                found = self._collections(request.method, path.partition("/")[2], query, body, raw)
        except Refused as error:
            return _refusal(error.status, str(error))
        status = {"POST": 202 if path.endswith("/action") else 201, "DELETE": 204}.get(request.method, 200)
        return web.json_response(found, status=status) if found is not None else web.Response(status=204)

    async def _identity(self, request: web.Request, path: str) -> web.Response:
        if path != "v3/auth/tokens":
            link = {"rel": "self", "href": f"{self.url}/identity/v3/"}
            return web.json_response({"version": {"id": "v3.14", "status": "stable", "links": [link]}})
        given = (await request.json())["auth"]["identity"]["password"]["user"]["password"]
        if given != PASSWORD:
            return _refusal(401, "The request you have made requires authentication.")
        token = f"token-{next(self._numbers)}"
        self.tokens.add(token)
        paths = {"compute": "/compute/v2.1", "network": "/network", "block-storage": "/volume/v3", "image": "/image"}
        catalog = [
            {"type": kind, "name": kind, "id": kind, "endpoints": [
                {"id": kind, "interface": "public", "region": "One", "region_id": "One", "url": self.url + path}]}
            for kind, path in paths.items()
        ]  # fmt: skip
        told = {
            "methods": ["password"], "user": {"id": "u" * 32, "name": "somebody", "domain": {"name": "Default"}},
            "expires_at": "2099-01-01T00:00:00.000000Z", "issued_at": "2026-01-01T00:00:00.000000Z",
            "project": {"id": PROJECT, "name": "ours", "domain": {"id": "default", "name": "Default"}},
            "roles": [{"id": name, "name": name} for name in self.roles], "catalog": catalog,
        }  # fmt: skip
        return web.json_response({"token": told}, status=201, headers={"X-Subject-Token": token})

    def _version(self, service: str) -> web.Response:
        ids = {"compute": "v2.1", "network": "v2.0", "volume": "v3.0", "image": "v2.17"}
        base = {"compute": "/v2.1/", "network": "/v2.0/", "volume": "/v3/", "image": "/v2/"}
        row: dict[str, Any] = {"id": ids[service], "status": "CURRENT",
                               "links": [{"rel": "self", "href": f"{self.url}/{service}{base[service]}"}]}  # fmt: skip
        if service in ("compute", "volume"):
            row |= {"version": MICROVERSION if service == "compute" else "3.71", "min_version": ids[service][1:]}
        return web.json_response({"version": row} if service == "compute" else {"versions": [row]})

    # Neutron, Cinder and Glance: collections of things that are made, listed and removed.

    def _collections(self, method: str, path: str, query: dict[str, str], body: Any, raw: bytes) -> Any:
        kind, _, rest = path.removesuffix(".json").partition("/")
        kind, (wanted, _, part) = kind.replace("-", "_"), rest.partition("/")
        if kind == "quotas":
            used = {"floatingip": "floatingips", "port": "ports", "security_group": "security_groups"}
            quota = {name: {"limit": self.quotas[name], "used": len(self.things[thing]), "reserved": 0}
                     for name, thing in used.items()}  # fmt: skip
            return {"quota": quota}
        if kind == "limits":
            gigabytes = sum(volume["size"] for volume in self.things["volumes"].values())
            absolute = {"maxTotalVolumes": self.quotas["volumes"], "maxTotalVolumeGigabytes": self.quotas["gigabytes"],
                        "totalVolumesUsed": len(self.things["volumes"]), "totalGigabytesUsed": gigabytes}  # fmt: skip
            return {"limits": {"rate": [], "absolute": absolute}}
        things, single = self.things[kind], kind.removesuffix("s")
        if method == "POST" and not wanted:
            return self._make(kind, body if kind == "images" else body[single])
        if method == "GET" and wanted in ("", "detail"):
            same = {key: value for key, value in query.items() if key not in ("limit", "marker", "tags", "all_tenants")}
            request = set(query["tags"].split(",")) if "tags" in query else set()
            listed = [
                thing for thing in things.values() if all(str(thing.get(key)) == value for key, value in same.items())
            ]
            listed = [row for row in listed if request <= set(row["tags"])]
            start = next((at + 1 for at, row in enumerate(listed) if row["id"] == query.get("marker")), 0)
            return {kind: listed[start : start + int(query.get("limit", 1000))]}
        if wanted not in things:
            raise Refused(404, f"{single} {wanted} could not be found.")
        if method == "DELETE":
            if kind == "ports":
                self.things["floatingips"] = {
                    key: floatingip
                    for key, floatingip in self.things["floatingips"].items()
                    if floatingip.get("port_id") != wanted
                }
            if kind == "security_groups" and any(wanted in port.get("security_groups", []) for port in
                                                 self.things["ports"].values()):  # fmt: skip
                raise Refused(409, f"Security Group {wanted} in use.")
            if kind == "volumes" and things[wanted]["status"] == "in-use":
                raise Refused(400, "Invalid volume: Volume status must be available or error.")
            del things[wanted]
            return None
        if part == "tags":
            things[wanted]["tags"] = body["tags"]
            return {"tags": body["tags"]}
        if part == "file":
            things[wanted] |= {"status": "active", "size": len(raw)}
            return None
        if part == "action":
            things[wanted] |= {"status": body["os-reset_status"]["status"], "attachments": []}
            return None
        if part == "bindings":
            return {"bindings": []}
        return things[wanted] if kind == "images" else {single: things[wanted]}

    def _make(self, kind: str, given: dict[str, Any]) -> Any:
        limits = {"volumes": "volumes", "ports": "port", "floatingips": "floatingip",
                  "security_groups": "security_group"}  # fmt: skip
        if kind in limits and len(self.things[kind]) >= self.quotas[limits[kind]]:
            raise Refused(409 if kind != "volumes" else 413, f"Quota exceeded for resources: ['{limits[kind]}'].")
        more: dict[str, Any] = {}
        if kind == "volumes":
            more = {"status": self.volume_birth, "volume_image_metadata": {}, "attachments": []}
        if kind == "images":
            more = {"status": "queued", "os_hash_value": "", "os_hash_algo": "sha512"}
        if kind == "ports":
            rows = [row for row in self.things["subnets"].values() if row["network_id"] == given["network_id"]]
            more = {"fixed_ips": [
                {"subnet_id": row["id"], "ip_address": row["cidr"].replace("/64", "f816")} for row in rows
            ]}  # fmt: skip
        if kind == "floatingips":
            more = {"floating_ip_address": f"198.51.{len(self.things[kind]) // 250}.{len(self.things[kind]) % 250 + 1}"}
        made = self.add(kind, **given, **more)
        if more.get("status") == "error" and self.why:
            self.add("messages", resource_uuid=made["id"], user_message=self.why)
        return made if kind == "images" else {kind.removesuffix("s"): made}

    def kinds(self) -> Counter[str]:
        """How many things of each kind there are that somebody made: a router's port is none."""
        found = Counter({kind: len(things) for kind, things in self.things.items() if things})
        found["ports"] -= 1
        del found["networks"], found["subnets"]
        return found + Counter({"servers": len(self.nova.servers)})


def _refusal(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    body = {"error": {"code": status, "message": message, "title": "Refused"}}
    return web.json_response(body, status=status, headers=headers or {})
