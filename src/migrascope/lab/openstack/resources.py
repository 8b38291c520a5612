"""What an instance is made of in a cloud: security group, volume, port, server, floating IP, each marked as ours from
the moment that it is there: by tags where they can be given at once, else by the description."""

import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

from migrascope.cloud.client import Cloud, CloudError, answered
from migrascope.cloud.server import Server
from migrascope.lab.boot_image import BootImage
from migrascope.lab.openstack.attachments import detach, orphaned
from migrascope.lab.openstack.image import image_of
from migrascope.lab.openstack.ipv6 import address_in, router_ports, subnet_of
from migrascope.lab.openstack.ownership import InstanceRequest
from migrascope.model import stamp
from migrascope.model.family import SECOND, Family
from migrascope.node.machine import TAG

_PORTS: tuple[dict[str, Any], ...] = (
    {"protocol": "tcp", "port_range_min": 80, "port_range_max": 80},
    {"protocol": "tcp", "port_range_min": 8080, "port_range_max": 8080},
    {"protocol": "udp", "port_range_min": 8080, "port_range_max": 8080},
    {"protocol": "udp", "port_range_min": stamp.PORT, "port_range_max": stamp.PORT},
)
_VOLUME_S, _SERVER_S, _GONE_S = 180.0, 300.0, 120.0


def _rules(family: Family) -> list[dict[str, Any]]:
    """What visitors and probes are let in with."""
    kind, icmp = ("IPv6", "ipv6-icmp") if family == SECOND else ("IPv4", "icmp")
    return [{"ether_type": kind, **rule} for rule in ({"protocol": icmp}, *_PORTS)]


@dataclass(frozen=True)
class Ground:
    """What a run's instances stand on, by id. prefix6: of their addresses of IPv6; empty without it."""

    image: str
    image_bytes: int
    network: str
    external: str
    group: str
    prefix6: str = ""


@dataclass(frozen=True)
class Made:
    """A server that is ACTIVE. address, address6: those that its visitors use; the second is empty where it is of
    IPv4 alone."""

    server: str
    volume: str
    port: str
    address: str
    address6: str = ""


class Resources:
    """Makes what is wished for in a cloud, and removes it. Every method blocks: call it in a thread."""

    def __init__(self, cloud: Cloud, request: InstanceRequest) -> None:
        self.cloud, self.request = cloud, request
        self._network, self._storage = cloud.connection.network, cloud.connection.block_storage

    def ground(self, boot: BootImage) -> Ground:
        """Finds or uploads the image, finds the networks, makes the security group. CloudError says what is lacking."""
        request, cloud = self.request, self.cloud
        external = self.net(request.external, outer=True)
        network = self.net(request.network, outer=False)
        prefix6 = str(subnet_of(cloud, network).cidr) if SECOND in request.families else ""
        image = image_of(cloud, request, boot)
        group = self._do(self._network.create_security_group, name=request.run, description=request.mark)
        for rule in chain(*map(_rules, request.families)):
            given = {"security_group_id": group.id, "direction": "ingress", **rule}
            self._do(self._network.create_security_group_rule, **given)
        return Ground(image.id, int(image.size or 0), network, external, group.id, prefix6)

    def net(self, name: str, *, outer: bool) -> str:
        """The id of the network of that name or id; without one, of the only one that is external, or routed.
        CloudError where there is none, or where there are several."""
        found = self._all(self._network.networks)
        if name:
            chosen = [net for net in found if name in (net.id, net.name)]
        else:
            routed = self._routed() if not outer else set()
            chosen = [net for net in found if (net.is_router_external if outer else net.id in routed)]
        what = "external network" if outer else "network behind a router"
        if not chosen:
            raise CloudError(f"cloud {self.cloud.name} has no {what}{f' {name}' if name else ''}: name one in the plan")
        if len(chosen) > 1:
            names = ", ".join(net.name for net in chosen)
            raise CloudError(f"cloud {self.cloud.name} has more than one {what} ({names}): name one in the plan")
        return str(chosen[0].id)

    def _routed(self) -> set[str]:
        """The networks that a router's port is on, but for the external ones."""
        return {str(port.network_id) for port in router_ports(self.cloud)}

    def _all(self, listing: Callable[..., Iterable[Any]], **query: Any) -> list[Any]:
        return self.cloud.idempotent(lambda: list(listing(**query)))

    def _do(self, change: Callable[..., Any], *things: Any, **words: Any) -> Any:
        return self.cloud.once(lambda: change(*things, **words))

    def known_flavor(self, memory_bytes: int, vcpus: int) -> str | None:
        """The id of the wished flavor, or of one with exactly so much memory and so many vCPUs, if there is one, the
        one with the least disk. CloudError where the wished one is not there."""
        ram = memory_bytes // 2**20
        found = list(self.cloud.listed("/flavors/detail", "flavors"))
        if self.request.flavor:
            chosen = [row for row in found if self.request.flavor in (row["id"], row["name"])]
            if not chosen:
                raise CloudError(f"cloud {self.cloud.name} has no flavor {self.request.flavor}")
        else:
            chosen = [row for row in found if (row["ram"], row["vcpus"]) == (ram, vcpus)]
            chosen.sort(key=lambda row: row["disk"])
        return str(chosen[0]["id"]) if chosen else None

    def flavor(self, memory_bytes: int, vcpus: int) -> str:
        """The id of a flavor that fits; where there is none, one without a disk of its own is made if we may.
        CloudError when there is none."""
        if known := self.known_flavor(memory_bytes, vcpus):
            return known
        ram = memory_bytes // 2**20
        name = f"{TAG}-{ram}-{vcpus}"
        made = {"name": name, "ram": ram, "vcpus": vcpus, "disk": 0, "description": f"{TAG} {self.request.machine}"}
        try:
            return str(self.cloud.compute("POST", "/flavors", {"flavor": made})["flavor"]["id"])
        except CloudError as error:
            if error.status == 409 and (known := self.known_flavor(memory_bytes, vcpus)):
                return known  # another run made it at the same time
            raise CloudError(
                f"cloud {self.cloud.name} has no flavor of {ram} MiB and {vcpus} vCPU, and lets us make none ({error}):"
                " name one in the plan (cloud.flavor)"
            ) from error

    def make(self, name: str, ground: Ground, flavor: str, host: str) -> Made:
        """A server that boots from a volume of its own, with a floating IP. host: where it is to run; empty: anywhere.

        Nothing of it is left when this raises, unless the API does not let us remove it: CloudError with its words.
        """
        try:
            volume, port = self.volume(name, ground), self.port(name, ground)
            self._await(_VOLUME_S, f"volume {name} is available", lambda: self._volume_is_there(volume))
            server = self.server(name, flavor, host, volume, port)
            self._await(_SERVER_S, f"server {name} is ACTIVE", lambda: self._is_active(server))
            return Made(server, volume, port, self.address(port, ground), self._address_6(port, ground))
        except BaseException:
            with contextlib.suppress(CloudError):  # the next run, or clean, finds it
                self.remove(name)
            raise

    def volume(self, name: str, ground: Ground) -> str:
        """The id of a new volume that holds the image; it is not there at once."""
        gib, marks = max(1, -(-ground.image_bytes // 2**30)), dict.fromkeys(self.request.tags, "1")
        given = {"size": gib, "image_id": ground.image, "name": name, "metadata": marks}
        return str(self._do(self._storage.create_volume, **given).id)

    def port(self, name: str, ground: Ground) -> str:
        """The id of a new port."""
        place = {"network_id": ground.network, "security_group_ids": [ground.group]}
        return str(self._do(self._network.create_port, name=name, description=self.request.mark, **place).id)

    def server(self, name: str, flavor: str, host: str, volume: str, port: str) -> str:
        """The id of a new server on a volume that is there; it is not ACTIVE at once."""
        disk = {"uuid": volume, "source_type": "volume", "destination_type": "volume", "boot_index": 0}
        wanted: dict[str, Any] = {
            "name": name,
            "flavorRef": flavor,
            "networks": [{"port": port}],
            "block_device_mapping_v2": [disk],
            "tags": self.request.tags,
        }
        if host:
            wanted["host"] = host
        return str(self.cloud.compute("POST", "/servers", {"server": wanted})["server"]["id"])

    def address(self, port: str, ground: Ground) -> str:
        """A new floating IP of a port."""
        outside = {"floating_network_id": ground.external, "port_id": port}
        return str(self._do(self._network.create_ip, description=self.request.mark, **outside).floating_ip_address)

    def _address_6(self, port: str, ground: Ground) -> str:
        """A port's own address of IPv6; empty where the run is of IPv4 alone."""
        if not ground.prefix6:
            return ""
        found = self.cloud.idempotent(lambda: self._network.get_port(port))
        return address_in(ground.prefix6, found.fixed_ips)

    def _volume_is_there(self, volume: str) -> bool:
        found = self.cloud.idempotent(lambda: self._storage.get_volume(volume))
        if found.status == "error":
            raise CloudError(f"cloud {self.cloud.name}: volume {found.name} is in error: {self._why(volume)}")
        return bool(found.status == "available")

    def _why(self, volume: str) -> str:
        """What Block Storage tells its users of a volume's failures (API 3.3, "User messages")."""
        query = f"/messages?resource_uuid={volume}"
        with contextlib.suppress(CloudError):
            said = self.cloud.idempotent(lambda: answered(self._storage.get(query, microversion="3.3")))["messages"]
            if said:
                return "; ".join(str(message["user_message"]) for message in said)
        return "no reason is told"

    def _is_active(self, server: str) -> bool:
        found = Server(self.cloud, server).show()
        if found["status"] == "ERROR":
            words = found.get("fault", {}).get("message", "no fault is told")
            raise CloudError(f"cloud {self.cloud.name}: server {found['name']} is in ERROR: {words}")
        return bool(found["status"] == "ACTIVE")

    def _await(self, seconds: float, what: str, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise CloudError(f"cloud {self.cloud.name}: not in {seconds:g} s: {what}")
            time.sleep(0.5)

    def remove(self, name: str) -> None:
        """Removes what `make` made by this name, as far as it is there. CloudError when something stays."""
        cloud, run = self.cloud, self.request.run
        servers = cloud.compute("GET", f"/servers?name=^{name}$&tags={run}")["servers"]
        for server in servers:
            self._gone(Server(cloud, server["id"]).delete)
        if servers:
            query = f"/servers?name=^{name}$&tags={run}"
            self._await(_GONE_S, f"server {name} is gone", lambda: not cloud.compute("GET", query)["servers"])
        for port in self._all(self._network.ports, name=name, project_id=cloud.project):
            for floating in self._all(self._network.ips, port_id=port.id):
                self._gone(partial(self._network.delete_ip, floating))
            self._gone(partial(self._network.delete_port, port))
        for volume in self._all(self._storage.volumes, name=name):
            if run in volume.metadata:
                self._await(60, f"volume {name} is free", partial(self._is_free, volume.id))
                self._gone(partial(self._storage.delete_volume, volume))

    def _is_free(self, volume: str) -> bool:
        try:
            found = self.cloud.idempotent(lambda: self._storage.get_volume(volume))
        except CloudError as error:
            if error.status == 404:
                return True
            raise
        return found.status in ("available", "error")

    def free_volumes(self, servers: set[str]) -> list[str]:
        """Frees and removes the run's volumes that are still attached to servers that are gone; says which."""
        did = []
        for volume in orphaned(self._all(self._storage.volumes), servers):
            if self.request.run in volume.metadata:
                detach(self.cloud, str(volume.id))
                self._gone(partial(self._storage.delete_volume, volume))
                did.append(f"free and remove the volume {volume.name}")
        return did

    def leave(self, ground: Ground) -> None:
        """Removes the run's security group."""
        self._gone(partial(self._network.delete_security_group, ground.group))

    def _gone(self, delete: Callable[[], Any]) -> None:
        try:
            self.cloud.idempotent(delete)
        except CloudError as error:
            if error.status != 404:
                raise
