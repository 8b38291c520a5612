"""What users find in the cloud: networks and a router, rules that let them in, a flavor, the website's image.

client, origin --- external 192.0.2.0/24 --- router --- instances 10.1.0.0/24

Where the testbed has IPv6, both networks have a subnet of it, too. The router advertises that of the instances, which
make their addresses themselves (SLAAC).
"""

import json
from typing import Any

from migrascope.model.family import SECOND
from migrascope.testbed.roles import glance, hypervisor, neutron, nova
from migrascope.testbed.roles.cinder import VOLUMES
from migrascope.testbed.roles.keystone import CATALOG, CLOUD
from migrascope.testbed.settings import (
    CONTROLLER,
    EXTERNAL_6,
    INSTANCES_6,
    NODES,
    PREFIX,
    Settings,
    address,
    address_6,
)
from migrascope.testbed.task import Await, Command, Task

NETWORKS, IMAGE, READY = "networks", "website image", "all alive"
# Where the guest's kernel, initrd and disk lie in the controller when the image is made.
GUEST = "/srv/guest"
_EXTERNAL = PREFIX["external"]
# How long one process asks whether all is up: to start Python and log in takes more than to ask.
_ASKS_S = 30


def tasks(settings: Settings, kernel_line: str) -> list[Task]:
    """kernel_line: the command line of the guest's kernel, which asks for its own address."""
    networks: dict[str, Any] = {
        "cloud": CLOUD,
        "external": {
            "cidr": f"{_EXTERNAL}0/24",
            "gateway": address("fabric", "external"),
            "first": f"{_EXTERNAL}100",
            "last": f"{_EXTERNAL}199",
        },
        "instances": {"cidr": "10.1.0.0/24", "gateway": "10.1.0.1"},
        "ipv6": None,
        "flavor": {"name": "website", "ram": 1024, "vcpus": 1, "disk": 0},
    }
    if SECOND in settings.families:
        networks["ipv6"] = {
            "external": {"cidr": str(EXTERNAL_6), "gateway_ip": address_6("fabric"), "is_dhcp_enabled": False},
            "instances": {
                "cidr": str(INSTANCES_6),
                "gateway_ip": str(INSTANCES_6[1]),
                "ipv6_ra_mode": "slaac",
                "ipv6_address_mode": "slaac",
            },
            "router": address_6("router"),
        }
    image = {
        "cloud": CLOUD,
        "folder": GUEST,
        "command_line": kernel_line,
    }
    ready = ("python3", "-c", _READY, CLOUD, str(len(NODES)), str(_ASKS_S))
    what = f"{len(NODES)} hypervisors, all services and all agents are up, and there is room for volumes"
    alive = Await(ready, 180, what, every_s=1)
    everything = (hypervisor.HYPERVISORS, NETWORKS, VOLUMES, *(neutron.backend(node) for node in NODES))
    # OVN gives a router's gateway to a chassis that it knows.
    gateway = (neutron.backend(CONTROLLER),) if settings.network == "ovn" else ()
    return [
        Task(
            NETWORKS,
            CONTROLLER,
            (CATALOG, neutron.NEUTRON, nova.NOVA, *gateway),
            (Command(("python3", "-c", _MAKE_NETWORKS), stdin=json.dumps(networks)),),
        ),
        Task(
            IMAGE,
            CONTROLLER,
            (CATALOG, glance.GLANCE),
            (Command(("python3", "-c", _MAKE_IMAGE), stdin=json.dumps(image), timeout_s=300),),
        ),
        Task(READY, CONTROLLER, everything, (alive,)),
    ]


_MAKE_NETWORKS = """
import json, sys
import openstack
given = json.load(sys.stdin)
cloud = openstack.connect(cloud=given["cloud"])
net = cloud.network
outer, inner, ipv6, flavor = given["external"], given["instances"], given["ipv6"], given["flavor"]
def subnet(network, family, **words):
    name = network.name if family == 4 else network.name + "-ipv6"
    return net.find_subnet(name) or net.create_subnet(name=name, network_id=network.id, ip_version=family, **words)
external = net.find_network("external") or net.create_network(
    name="external", is_router_external=True, is_shared=False,
    provider_network_type="flat", provider_physical_network="external")
addresses = [{"subnet_id": subnet(
    external, 4, cidr=outer["cidr"], gateway_ip=outer["gateway"], is_dhcp_enabled=False,
    allocation_pools=[{"start": outer["first"], "end": outer["last"]}]).id}]
instances = net.find_network("instances") or net.create_network(name="instances", is_shared=True)
inside, anywhere = [subnet(instances, 4, cidr=inner["cidr"], gateway_ip=inner["gateway"])], {"IPv4": "0.0.0.0/0"}
if ipv6:
    addresses.append({"subnet_id": subnet(external, 6, **ipv6["external"]).id, "ip_address": ipv6["router"]})
    inside.append(subnet(instances, 6, **ipv6["instances"]))
    anywhere["IPv6"] = "::/0"
# With all of its addresses at once: OVN is not told when the gateway's are changed later.
router = net.find_router("router") or net.create_router(
    name="router", external_gateway_info={"network_id": external.id, "external_fixed_ips": addresses})
ports = net.ports(device_id=router.id, network_id=instances.id)
routed = {fixed["subnet_id"] for port in ports for fixed in port.fixed_ips}
for each in inside:
    if each.id not in routed:
        net.add_interface_to_router(router, subnet_id=each.id)
project = cloud.current_project_id
group = next(iter(net.security_groups(name="default", project_id=project)))
rules = {rule.remote_ip_prefix for rule in net.security_group_rules(security_group_id=group.id)}
for family, prefix in anywhere.items():
    if prefix not in rules:
        net.create_security_group_rule(
            security_group_id=group.id, direction="ingress", ether_type=family, remote_ip_prefix=prefix)
cloud.compute.find_flavor(flavor["name"]) or cloud.compute.create_flavor(**flavor)
"""

_MAKE_IMAGE = """
import json, sys
import openstack
given = json.load(sys.stdin)
image = openstack.connect(cloud=given["cloud"]).image
def made(name, file, **words):
    found = image.find_image(name)
    if found and found.status != "active":
        image.delete_image(found)
        found = None
    if not found:
        found = image.create_image(
            name, filename=f"{given['folder']}/{file}", disk_format="raw", container_format="bare",
            visibility="public", allow_duplicates=True, timeout=300, **words)
    return found.id
kernel, initrd = made("website-kernel", "kernel"), made("website-initrd", "initrd")
made("website", "disk", min_disk=1, kernel_id=kernel, ramdisk_id=initrd, os_command_line=given["command_line"],
     hw_disk_bus="virtio", hw_vif_model="virtio", hw_rng_model="virtio")
"""

# In a state that is seconds old, from a snapshot or after `down`, everybody still counts as up who was: only what has
# reported since this node booted is.
_READY = """
import os, sys, time
import openstack
cloud, nodes, deadline = openstack.connect(cloud=sys.argv[1]), int(sys.argv[2]), time.monotonic() + float(sys.argv[3])
uptime_s = float(open("/proc/uptime").read().split()[0])
ticks = int(open("/proc/1/stat").read().rpartition(")")[2].split()[19])
booted = time.strftime("%FT%T", time.gmtime(time.time() - uptime_s + ticks / os.sysconf("SC_CLK_TCK")))
def reported(stamp):
    return (stamp or "").replace(" ", "T") >= booted
def missing():
    services = list(cloud.compute.services()) + list(cloud.block_storage.services())
    down = [f"{each.binary} on {each.host}" for each in services
            if each.state != "up" or not reported(each.updated_at)]
    down += [f"{each.binary} on {each.host}" for each in cloud.network.agents()
             if not each.is_alive or not reported(each.last_heartbeat_at)]
    hypervisors = sum(each.state == "up" for each in cloud.compute.hypervisors())
    free = [pool.capabilities["free_capacity_gb"] for pool in cloud.block_storage.backend_pools()]
    room = any(isinstance(gib, int | float) and gib > 0 for gib in free)
    if not down and hypervisors >= nodes and room:
        return ""
    return (f"{hypervisors} of {nodes} hypervisors are up; down: {', '.join(down) or 'no service'};"
            f" room that Cinder's scheduler knows of, in GiB: {free}")
while problem := missing():
    if time.monotonic() > deadline:
        raise SystemExit(problem)
    time.sleep(1)
"""
