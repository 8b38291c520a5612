"""Nova and libvirt: APIs, scheduler, conductor and console on the controller, a hypervisor on each node."""

from collections.abc import Mapping

from migrascope.testbed.roles import base, ceph
from migrascope.testbed.roles.cinder import rbd_secret
from migrascope.testbed.roles.common import (
    MEMCACHED,
    REGION,
    answers,
    as_user,
    config,
    credentials,
    database,
    middleware,
    transport,
)
from migrascope.testbed.roles.glance import GLANCE
from migrascope.testbed.roles.infrastructure import DATABASE, QUEUE
from migrascope.testbed.roles.keystone import CATALOG, KEYSTONE
from migrascope.testbed.roles.placement import PLACEMENT
from migrascope.testbed.secrets import Secrets
from migrascope.testbed.settings import CONTROLLER, NODES, Settings, address
from migrascope.testbed.task import Action, Await, Command, File, Task, Units

NOVA, HYPERVISORS = "nova", "hypervisors"
_SCHEMA = "nova schema"
CONF = "/etc/nova/nova.conf"
METADATA_PURPOSE = "metadata proxy"


def compute(node: str) -> str:
    """The name of the task that brings a node's hypervisor up."""
    return f"nova-compute {node}"


def configuration(settings: Settings, secrets: Secrets, node: str) -> File:
    """/etc/nova/nova.conf of a node, with the migration settings, which nova-compute reads when it starts."""
    sections: dict[str, Mapping[str, object]] = {
        "DEFAULT": {
            "use_stderr": True,
            "host": node,
            "compute_driver": "libvirt.LibvirtDriver",
            "my_ip": address(node, "management"),
            "transport_url": transport(secrets),
            "state_path": "/var/lib/nova",
            "osapi_compute_workers": 1,
            "metadata_workers": 1,
            # A volume is cloned in less than a second; Nova asks every 3 s otherwise.
            "block_device_allocate_retries": 180,
            "block_device_allocate_retries_interval": 1,
            "resume_guests_state_on_host_boot": True,
        },
        "cache": {"enabled": True, "backend": "dogpile.cache.pymemcache", "memcache_servers": MEMCACHED},
        "conductor": {"workers": 1},
        "scheduler": {"workers": 1, "discover_hosts_in_cells_interval": -1},
        "filter_scheduler": {"track_instance_changes": False},
        "glance": {**credentials(secrets, "glance"), "service_type": "image", "valid_interfaces": "internal"},
        "placement": {**credentials(secrets, "placement"), "valid_interfaces": "internal"},
        "cinder": {
            **credentials(secrets, "cinder"),
            "os_region_name": REGION,
            "catalog_info": "block-storage::internalURL",
        },
        "neutron": {
            **credentials(secrets, "neutron"),
            "valid_interfaces": "internal",
            "service_metadata_proxy": True,
            "metadata_proxy_shared_secret": secrets.password(METADATA_PURPOSE),
        },
        "oslo_concurrency": {"lock_path": "/var/lock/nova"},
        "vnc": {
            "enabled": True,
            "server_listen": address(node, "management"),
            "server_proxyclient_address": address(node, "management"),
            "novncproxy_host": "0.0.0.0",
            "novncproxy_base_url": f"http://{settings.loopback}:6080/vnc_lite.html",
        },
        "libvirt": _libvirt(settings, secrets, node),
        **middleware(secrets, "nova"),
    }
    if node == CONTROLLER:
        sections["database"] = database(secrets, "nova")
        sections["api_database"] = database(secrets, "nova_api")
    return config(CONF, "nova", sections)


def _libvirt(settings: Settings, secrets: Secrets, node: str) -> dict[str, object]:
    migration = settings.migration
    options: dict[str, object] = {
        "virt_type": settings.virt_type,
        "cpu_mode": "custom",
        "cpu_models": settings.cpu_model,
        "hw_machine_type": "x86_64=q35",
        "images_type": "rbd",
        "images_rbd_pool": "vms",
        "images_rbd_ceph_conf": "/etc/ceph/ceph.conf",
        "rbd_user": "nova",
        "rbd_secret_uuid": rbd_secret(secrets, "nova"),
        "disk_cachemodes": "network=writeback",
        "inject_partition": -2,
        "live_migration_scheme": "tcp",
        "live_migration_inbound_addr": address(node, "migration"),
        "live_migration_downtime": migration.downtime_ms,
        "live_migration_downtime_steps": migration.downtime_steps,
        "live_migration_downtime_delay": migration.downtime_delay_s,
        "live_migration_completion_timeout": migration.completion_timeout_s,
        "live_migration_timeout_action": migration.timeout_action,
        "live_migration_permit_post_copy": migration.permit_post_copy,
        "live_migration_permit_auto_converge": migration.permit_auto_converge,
        "live_migration_bandwidth": migration.bandwidth_mib_s,
    }
    if migration.parallel_connections > 1:
        options["live_migration_parallel_connections"] = migration.parallel_connections
    return options


def tasks(settings: Settings, secrets: Secrets) -> list[Task]:
    def manage(*words: str) -> Command:
        return as_user("nova", "nova-manage", *words)

    conf = configuration(settings, secrets, CONTROLLER)
    know_cell = (
        "nova-manage cell_v2 map_cell0 && { nova-manage cell_v2 list_cells | grep -q cell1"
        " || nova-manage cell_v2 create_cell --name cell1; }"
    )
    computes = tuple(compute(node) for node in NODES)
    return [
        Task(
            _SCHEMA,
            CONTROLLER,
            (DATABASE,),
            (conf, manage("api_db", "sync"), as_user("nova", "sh", "-c", know_cell), manage("db", "sync")),
        ),
        Task(
            NOVA,
            CONTROLLER,
            (_SCHEMA, KEYSTONE, QUEUE),
            (
                Units(
                    start=(
                        "nova-api.service",
                        "nova-api-metadata.service",
                        "nova-conductor.service",
                        "nova-scheduler.service",
                        "nova-novncproxy.service",
                    )
                ),
                Await(answers(8774), 60, "Nova answers"),
            ),
        ),
        *(_compute(settings, secrets, node) for node in NODES),
        Task(
            HYPERVISORS,
            CONTROLLER,
            computes,
            (
                Await(
                    ("sh", "-c", f"mariadb -N nova -e 'SELECT COUNT(*) FROM compute_nodes' | grep -qx {len(NODES)}"),
                    90,
                    "both hypervisors have reported",
                ),
                manage("cell_v2", "discover_hosts"),
            ),
        ),
    ]


def _compute(settings: Settings, secrets: Secrets, node: str) -> Task:
    actions: list[Action] = []
    if node != CONTROLLER:
        actions += [ceph.configuration(settings, secrets), configuration(settings, secrets, node)]
    actions += [
        ceph.client(secrets, "nova", "root:nova"),
        *_libvirt_files(secrets, node),
        Units(
            start=(
                "virtlogd.socket",
                "libvirtd.socket",
                "libvirtd-ro.socket",
                "libvirtd-admin.socket",
                "libvirtd-tcp.socket",
                "libvirtd.service",
                "nova-compute.service",
            )
        ),
    ]
    return Task(compute(node), node, (base.name(node), NOVA, CATALOG, PLACEMENT, GLANCE, ceph.POOLS), tuple(actions))


def _libvirt_files(secrets: Secrets, node: str) -> list[Action]:
    """libvirt's settings: no confinement, which a container cannot give, and migration by TCP on its own link."""
    daemon = f'host_uuid = "{secrets.uuid(f"host {node}")}"\nauth_tcp = "none"\nlisten_tls = 0\nlisten_tcp = 1\n'
    qemu = 'security_driver = "none"\ncgroup_controllers = []\nnamespaces = []\n'
    listen = f"[Socket]\nListenStream=\nListenStream={address(node, 'migration')}:16509\nFreeBind=yes\n"
    files: list[Action] = [
        File("/etc/libvirt/libvirtd.conf", daemon),
        File("/etc/libvirt/qemu.conf", qemu, 0o600),
        File("/etc/systemd/system/libvirtd-tcp.socket.d/migrascope.conf", listen),
    ]
    for user in ("cinder", "nova"):
        uuid = rbd_secret(secrets, user)
        xml = (
            f"<secret ephemeral='no' private='yes'><uuid>{uuid}</uuid>"
            f"<usage type='ceph'><name>client.{user}</name></usage></secret>\n"
        )
        files.append(File(f"/etc/libvirt/secrets/{uuid}.xml", xml, 0o600))
        files.append(File(f"/etc/libvirt/secrets/{uuid}.base64", secrets.ceph_key(f"client.{user}"), 0o600))
    return files
