"""A testbed as its user sees it: openstacksdk on the controller, visitors on the client, everything by name."""

import hashlib
import json
import subprocess
import threading
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from migrascope.model.family import host_of
from migrascope.model.measured import Measured
from migrascope.testbed.settings import CONTROLLER
from migrascope.testbed.testbed import Testbed

_CONNECT = """
import json, sys, time
import openstack
cloud = openstack.connect(cloud="migrascope")
given = json.loads(sys.argv[1])
def until(condition, timeout_s, what):
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise SystemExit(f"not in {timeout_s} s: {what()}")
        time.sleep(0.5)
    return found
def host(server):
    return cloud.compute.get_server(server).hypervisor_hostname
"""
_CREATE = """
started = time.monotonic()
image = cloud.image.find_image("website", ignore_missing=False)
volume = cloud.block_storage.create_volume(size=1, image_id=image.id, name=given["name"])
def told():
    found = cloud.block_storage.get(f"/messages?resource_uuid={volume.id}", microversion="3.3").json()["messages"]
    return [one["user_message"] for one in found], [pool.to_dict() for pool in cloud.block_storage.backend_pools()]
def made():
    found = cloud.block_storage.get_volume(volume.id)
    if found.status == "error":
        raise SystemExit(f"volume {volume.id} is in error: {told()}")
    return found.status == "available"
until(made, 120, told)
network = cloud.network.find_network("instances", ignore_missing=False)
server = cloud.compute.create_server(
    name=given["name"], flavor_id=cloud.compute.find_flavor("website").id, networks=[{"uuid": network.id}],
    block_device_mapping_v2=[{"uuid": volume.id, "source_type": "volume", "destination_type": "volume",
                              "boot_index": 0, "delete_on_termination": True}],
    availability_zone=f"nova:{given['host']}")
server = cloud.compute.wait_for_server(server, wait=240, interval=0.5)
active_s = time.monotonic() - started
port = next(cloud.network.ports(device_id=server.id))
outside = cloud.network.find_network("external", ignore_missing=False)
address = cloud.network.create_ip(floating_network_id=outside.id, port_id=port.id)
own = [fixed["ip_address"] for fixed in port.fixed_ips if ":" in fixed["ip_address"]]
print(json.dumps({"id": server.id, "address": address.floating_ip_address, "address6": own[0], "volume": volume.id,
                  "active_s": active_s}))
"""
_MIGRATE = """
server, started = given["server"], time.monotonic()
cloud.compute.post(f"/servers/{server}/action", microversion="2.30", json={
    "os-migrateLive": {"host": given["host"], "block_migration": "auto"}}).raise_for_status()
def last():
    found = cloud.compute.get(f"/os-migrations?instance_uuid={server}", microversion="2.80").json()["migrations"]
    return max(found, key=lambda one: one["id"]) if found else None
def ended():
    one = last()
    return one if one and one["status"] in ("completed", "error", "failed", "cancelled") else None
record = until(ended, given["timeout_s"], last)
until(lambda: cloud.compute.get_server(server).status == "ACTIVE", 60, lambda: cloud.compute.get_server(server).status)
print(json.dumps({"status": record["status"], "host": host(server), "took_s": time.monotonic() - started}))
"""
_STATE = """
print(json.dumps({
    "hypervisors": sorted(one.name for one in cloud.compute.hypervisors() if one.state == "up"),
    "services": {f"{one.host} {one.binary}": one.state for one in
                 [*cloud.compute.services(), *cloud.block_storage.services()]},
    "agents": {f"{one.host} {one.binary}": one.is_alive for one in cloud.network.agents()},
}))
"""


OVER_BOTH = (
    "network_blackout_s",
    "network_blackout_ipv6_s",
    "network_blackout_ipv6_difference_s",
    "announced.rarp_s",
    "announced.na_s",
    "wiring.spoke_ipv6_s",
    "wiring.router_ipv6_s",
    "probe.rtt_ipv6_s.before.p50",
    "probe.loss_ipv6_ratio.before",
)


@dataclass
class Server:
    """A server that has booted from its volume. address: its floating IP; address6: its own of IPv6."""

    id: str
    address: str
    address6: str
    volume: str
    active_s: float


@dataclass
class Visits:
    """What a visitor saw who asked for one page after the other."""

    answered: int = 0
    failed: list[str] = field(default_factory=list)
    longest_gap_s: float = 0.0


class Cloud:
    """The cloud of a testbed that is up."""

    def __init__(self, name: str) -> None:
        self.testbed = Testbed(name)
        self.client = self.testbed.topology.namespaces["client"]

    def run(self, *argv: str, stdin: str = "", timeout_s: float = 300) -> str:
        """What a program on the controller prints; its errors fail the test."""
        command = self.testbed.node(CONTROLLER).command(argv)
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False)
        assert done.returncode == 0, f"{argv[0]}: {done.stdout}{done.stderr}"
        return done.stdout

    def sdk(self, script: str, **given: object) -> Any:
        return json.loads(self.run("python3", "-", json.dumps(given), stdin=_CONNECT + script))

    def state(self) -> Any:
        """Hypervisors that are up, services and agents with their states."""
        return self.sdk(_STATE)

    def create(self, name: str, host: str) -> Server:
        return Server(**self.sdk(_CREATE, name=name, host=host))

    def migrate(self, server: Server, host: str, timeout_s: float = 180) -> Any:
        """{"status", "host", "took_s"} of a live migration, from the request until Nova calls it completed."""
        return self.sdk(_MIGRATE, server=server.id, host=host, timeout_s=timeout_s)

    def host(self, server: Server) -> str:
        """The node on which it runs."""
        return str(self.sdk("print(json.dumps(host(given['server'])))", server=server.id))

    def ask(self, url: str, method: str = "GET", timeout_s: float = 20) -> bytes:
        """The body of the answer that the client gets."""

        def ask() -> bytes:
            with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=timeout_s) as answer:
                return bytes(answer.read())

        return self.client.call(ask)

    def serves(self, server: Server, timeout_s: float = 240) -> None:
        """Returns as soon as the website, and the agent that vouches for it, answer to the client: over IPv6, too."""
        deadline = time.monotonic() + timeout_s
        for url in (f"http://{server.address}:8080/ready", f"http://{host_of(server.address6)}/none.html"):
            while True:
                try:
                    self.ask(url, timeout_s=2)
                except OSError:
                    assert time.monotonic() < deadline, f"{url} does not answer the client"
                    time.sleep(0.5)
                else:
                    break

    def volume_checksum(self, server: Server) -> str:
        """The hash of a file of the server's, read from the volume: its page cache is dropped before."""
        self.ask(f"http://{server.address}:8080/cache?state=cold", "POST")
        return hashlib.sha256(self.ask(f"http://{server.address}/video/video.mp4", timeout_s=60)).hexdigest()


def both_families(found: Mapping[str, Measured]) -> None:
    """Of one trial: over both families the network was black for as long as the guest stood still, and when the guest
    announced itself and was heard again over each is known. found: its metrics."""
    value = {key: measured.value for key, measured in found.items()}
    assert [key for key in OVER_BOTH if value[key] is None] == [], [found[key].reason for key in OVER_BOTH]
    pause = value["vm_pause_s"] or 0.0
    for key in ("network_blackout_s", "network_blackout_ipv6_s"):
        assert (value[key] or 0.0) + (found[key].bound or 0.0) > pause, key
    assert (value["announced.frames.na"] or 0) >= 1
    assert (value["wiring.spoke_ipv6_s"] or 0.0) <= (value["wiring.router_ipv6_s"] or 0.0)
    assert (value["probe.loss_ipv6_ratio.before"] or 0.0) < 0.02


class Visitor:
    """A visitor at the client who asks an address for the page all the time, each time on a connection of his own."""

    def __init__(self, cloud: Cloud, address: str) -> None:
        self.visits = Visits()
        self._stop = threading.Event()
        self._url = f"http://{host_of(address)}/none.html"
        self._thread = threading.Thread(target=lambda: cloud.client.call(self._visit))

    def __enter__(self) -> "Visitor":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _visit(self) -> None:
        last = time.monotonic()
        while not self._stop.wait(0.05):
            try:
                with urllib.request.urlopen(self._url, timeout=10) as answer:
                    answer.read()
            except OSError as error:
                self.visits.failed.append(str(error))
            else:
                now = time.monotonic()
                self.visits.answered += 1
                self.visits.longest_gap_s, last = max(self.visits.longest_gap_s, now - last), now
