"""What a cloud, and our rights in it, allow a run: asked beforehand. Nothing of what is tried out stays."""

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from functools import partial

from migrascope.cloud.client import Cloud, CloudError, answered
from migrascope.lab.openstack.ipv6 import need_way, subnet_of
from migrascope.lab.openstack.leftovers import find
from migrascope.lab.openstack.ownership import InstanceRequest
from migrascope.lab.openstack.resources import Resources
from migrascope.metrics.catalogue import Need
from migrascope.model.family import SECOND
from migrascope.model.plan import Plan
from migrascope.model.units import human
from migrascope.node.machine import TAG, machine_tag
from migrascope.node.namespace import Namespace
from migrascope.study.doctor.machine import Check, browser, capture

LEAST_API, HOST_API = (2, 52), (2, 74)
"""Tags at a server's creation (Pike); a host named at it (Train)."""
_HOST_S = 20.0
_ASK_LIBVIRT = "import libvirt, sys; libvirt.openReadOnly(sys.argv[1]).getLibVersion()"


class CloudDoctor:
    """The checks of one cloud for one plan. hosts_in_reach: the hosts are ours to ask, as the testbed's are. client:
    where visitors are; None is this machine."""

    def __init__(self, cloud: Cloud, plan: Plan, client: Namespace | None, *, hosts_in_reach: bool) -> None:
        self.cloud, self.plan, self.near, self._client = cloud, plan, hosts_in_reach, client
        wanted, self.machine = plan.cloud, machine_tag()
        request = InstanceRequest("", self.machine, wanted.image, wanted.flavor, wanted.network, wanted.external)
        self.resources = Resources(cloud, request)
        self.reach: set[Need] = {"api"}

    def checks(self) -> list[Check]:
        """Everything, in the order in which a run would need it. `reach` is known afterwards."""
        return [
            self._rights(),
            self._versions(),
            self._hosts(),
            self._records(),
            self._bindings(),
            *self._networks(),
            self._image(),
            *(self._flavor(memory) for memory in self.plan.axes.memory),
            *self._quotas(),
            *self._reach(),
            *capture(self.plan),
            *browser(self.plan),
            self._left(),
        ]

    def _rights(self) -> Check:
        project, roles = self.cloud.rights()
        found = f"project {project}, roles {', '.join(roles) or 'none'}"
        if "admin" in roles:
            return Check("rights", "pass", found)
        words = (
            "Nova lets only administrators migrate live, and since 2025.2 project managers, unless its policy differs"
        )
        return Check("rights", "unknown", found, words)

    def _versions(self) -> Check:
        version = self.cloud.compute_api
        number = tuple(map(int, version.split(".")))
        if number < LEAST_API:
            words = f"Compute of Pike or newer ({_dotted(LEAST_API)})"
            return Check("Compute API", "fail", f"microversion {version}", words)
        if number < HOST_API:
            words = f"from {_dotted(HOST_API)} on the first host can be named; leave it to the cloud here"
            return Check("Compute API", "fail", f"microversion {version}", words, needed=False)
        return Check("Compute API", "pass", f"microversion {version}")

    def _hosts(self) -> Check:
        try:
            found = self.cloud.compute("GET", "/os-hypervisors")["hypervisors"]
        except CloudError as error:
            if error.status != 403:
                raise
            words = "not told to us: Compute chooses, and only the server's hostId proves another host"
            return Check("hosts", "unknown", words, "", needed=False)
        up = sorted(
            host["hypervisor_hostname"] for host in found if (host["state"], host["status"]) == ("up", "enabled")
        )
        remedy = "a migration needs two hosts that are up and enabled"
        return Check("hosts", "pass" if len(up) > 1 else "fail", f"{len(up)} up: {', '.join(up)}", remedy)

    def _records(self) -> Check:
        name = "migration's progress"
        try:
            self.cloud.compute("GET", "/os-migrations?limit=1")
        except CloudError as error:
            if error.status != 403:
                raise
            words = "its records are not shown to us: its end is seen by the server's state and hostId"
            return Check(name, "fail", words, "ask for os_compute_api:os-migrations:index", needed=False)
        self.reach.add("records")
        return Check(name, "pass", "its records are shown to us")

    def _bindings(self) -> Check:
        """Makes a port of a server and asks about it: of others nobody is told."""
        cloud, network, wanted = self.cloud, self.cloud.connection.network, self.plan.cloud.network
        name, shown = "ports' hosts", "Neutron shows them to administrators only, unless its policy differs"
        words = {"name": f"{TAG}-doctor", "description": f"{TAG} {self.machine}", "device_owner": "compute:nobody"}
        try:
            inner = self.resources.net(wanted, outer=False)
            port = cloud.once(lambda: network.create_port(network_id=inner, **words))
        except CloudError as error:
            return Check(name, "unknown", f"no port can be made to ask about: {error}", "", needed=False)
        try:
            cloud.idempotent(lambda: answered(network.get(f"/ports/{port.id}/bindings")))
        except CloudError as error:
            return Check(name, "fail", str(error), shown, needed=False)
        finally:
            cloud.once(lambda: network.delete_port(port))
        self.reach.add("bindings")
        return Check(name, "pass", "bindings are shown to us")

    def _networks(self) -> Iterator[Check]:
        wanted = self.plan.cloud
        yield self._tried(
            "external network", "cloud.external in the plan names one", partial(self._net, wanted.external, outer=True)
        )
        yield self._tried(
            "routed network", "cloud.network in the plan names one", partial(self._net, wanted.network, outer=False)
        )
        if SECOND in self.plan.families:
            yield self._ipv6()

    def _ipv6(self) -> Check:
        def look() -> str:
            prefix = str(subnet_of(self.cloud, self.resources.net(self.plan.cloud.network, outer=False)).cidr)
            need_way(self._client, prefix)
            return f"instances are in {prefix}, to which a way is known"

        check = self._tried("IPv6", "", look)
        if check.verdict == "pass":
            self.reach.add("ipv6")
        return check

    def _net(self, given: str, *, outer: bool) -> str:
        wanted = self.resources.net(given, outer=outer)
        return str(self.cloud.idempotent(lambda: self.cloud.connection.network.get_network(wanted)).name)

    def _image(self) -> Check:
        wanted, images = self.plan.cloud.image, self.cloud.connection.image
        if wanted:

            def named() -> str:
                if self.cloud.idempotent(lambda: images.find_image(wanted)) is None:
                    raise CloudError(f"cloud {self.cloud.name} has no image {wanted}")
                return f"{wanted} is there"

            return self._tried("image", "leave cloud.image out to upload one", named)

        def upload() -> str:
            body = {"name": f"{TAG}-doctor", "disk_format": "raw", "container_format": "bare", "visibility": "private",
                    "tags": [TAG, self.machine]}  # fmt: skip
            made = self.cloud.once(lambda: answered(images.post("/images", json=body)))
            self.cloud.once(lambda: images.delete_image(made["id"]))
            ours = self.cloud.idempotent(lambda: list(images.images(tag=TAG, name=f"{TAG}-website", status="active")))
            return f"may be uploaded; {len(ours)} of ours there, compared by content when a run begins"

        return self._tried("image", "cloud.image in the plan names one that is there", upload)

    def _flavor(self, memory: int) -> Check:
        vcpus = self.plan.instance.vcpus

        def look() -> str:
            if (known := self.resources.known_flavor(memory, vcpus)) is not None:
                return f"there ({known})"
            made = self.resources.flavor(memory, vcpus)
            self.cloud.compute("DELETE", f"/flavors/{made}")
            return "may be made"

        return self._tried(f"flavor of {human(memory, 'B')}", "cloud.flavor in the plan names another", look)

    def _tried(self, name: str, remedy: str, attempt: Callable[[], str]) -> Check:
        try:
            return Check(name, "pass", attempt())
        except CloudError as error:
            return Check(name, "fail", str(error), remedy)

    def _quotas(self) -> Iterator[Check]:
        axes, count = self.plan.axes, max(self.plan.fleet.count or [1])
        vcpus = max(axes.vcpus or [self.plan.instance.vcpus])
        each = {"instances": 1, "cores": vcpus, "ram": max(axes.memory) // 2**20, "volumes": 1, "gigabytes": 1}
        wanted = {name: count * number for name, number in (each | {"floatingip": 1, "port": 1}).items()}
        wanted["security_group"] = 1
        for name, (limit, used) in self._limits().items():
            found = f"{used} of {limit if limit >= 0 else 'any'} used, {wanted[name]} wanted"
            enough = limit < 0 or used + wanted[name] <= limit
            yield Check(f"quota {name}", "pass" if enough else "fail", found, "free some, or ask for more")

    def _limits(self) -> dict[str, tuple[int, int]]:
        """Limit (-1: none) and use of each quota that the cloud tells."""
        network, storage = self.cloud.connection.network, self.cloud.connection.block_storage
        compute = self.cloud.compute("GET", "/limits")["limits"]["absolute"]
        volumes = self.cloud.idempotent(lambda: answered(storage.get("/limits")))["limits"]["absolute"]
        found = {
            "instances": (compute["maxTotalInstances"], compute["totalInstancesUsed"]),
            "cores": (compute["maxTotalCores"], compute["totalCoresUsed"]),
            "ram": (compute["maxTotalRAMSize"], compute["totalRAMUsed"]),
            "volumes": (volumes["maxTotalVolumes"], volumes["totalVolumesUsed"]),
            "gigabytes": (volumes["maxTotalVolumeGigabytes"], volumes["totalGigabytesUsed"]),
        }
        with contextlib.suppress(CloudError):  # not every Neutron tells them
            path = f"/quotas/{self.cloud.project}/details"
            told = self.cloud.idempotent(lambda: answered(network.get(path)))["quota"]
            names = ("floatingip", "port", "security_group")
            found |= {name: (told[name]["limit"], told[name]["used"]) for name in names}
        return found

    def _reach(self) -> Iterator[Check]:
        hosts = self.plan.cloud.hosts
        if self.near:
            yield Check("hypervisors", "pass", "the testbed's nodes are in reach")
        elif not hosts:
            words = "cloud.hosts in the plan names libvirt's URI of each host that you may ask"
            yield Check(
                "hypervisors", "fail", "none in reach: the API and the visitors say the rest", words, needed=False
            )
        for name, uri in hosts.items():
            try:
                done = subprocess.run(
                    ["/usr/bin/python3", "-c", _ASK_LIBVIRT, uri],
                    capture_output=True, text=True, timeout=_HOST_S, check=False,
                )  # fmt: skip
                words = done.stderr.strip().splitlines()[-1] if done.returncode else ""
            except subprocess.TimeoutExpired:
                words = f"no answer in {_HOST_S:g} s"
            yield Check(f"hypervisor {name}", "fail" if words else "pass", words or uri, f"virsh -r -c {uri} list")
        if self.near:
            self.reach |= {"hypervisors", "links"}
        elif len(hosts) > 1:
            self.reach.add("hypervisors")
        if self.plan.capture.enabled:
            self.reach.add("capture")
        if self.plan.probes.stamp_rate:
            self.reach.add("stamp")
        if self.plan.visitors.browser:
            self.reach.add("browser")

    def _left(self) -> Check:
        left = find(self.cloud, self.machine).left
        words = ", ".join(f"{leftover.kind} {leftover.name}" for leftover in left) or "none"
        remedy = f"migrascope clean --cloud {self.cloud.name}"
        return Check("left-overs", "fail" if left else "pass", words, remedy, needed=False)


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
