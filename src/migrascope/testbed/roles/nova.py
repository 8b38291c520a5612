"""Nova's API, scheduler and conductor on the controller; nova-compute is in hypervisor.py, the rest in console.py."""

from collections.abc import Mapping

from migrascope.testbed.roles import privsep
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
from migrascope.testbed.roles.infrastructure import QUEUE, tables
from migrascope.testbed.roles.keystone import CATALOG
from migrascope.testbed.roles.placement import PLACEMENT
from migrascope.testbed.secrets import Secrets
from migrascope.testbed.settings import CONTROLLER, Settings, address
from migrascope.testbed.task import Await, Command, File, Task, Units

NOVA, CONDUCTOR = "nova", "nova conductor"
_API_SCHEMA, _SCHEMA, _CELL0_SCHEMA, _CELLS = "nova api schema", "nova schema", "nova cell0 schema", "nova cells"
_CELL0_CONF = "/etc/nova/cell0.conf"
CONF = "/etc/nova/nova.conf"
METADATA_PURPOSE = "metadata proxy"


def configuration(settings: Settings, secrets: Secrets, node: str) -> File:
    """/etc/nova/nova.conf of a node."""
    sections: dict[str, Mapping[str, object]] = {
        "DEFAULT": {
            "use_stderr": True,
            "host": node,
            "my_ip": address(node, "management"),
            "transport_url": transport(secrets),
            "state_path": "/var/lib/nova",
            "osapi_compute_workers": 1,
            "metadata_workers": 1,
            # A volume is cloned in less than a second; Nova asks every 3 s otherwise.
            "block_device_allocate_retries": 180,
            "block_device_allocate_retries_interval": 1,
            "resume_guests_state_on_host_boot": True,
            # For the room that is left, nova-compute starts `ceph df`, half a second of processor time in each node,
            # every minute otherwise, in the midst of trials. Nova also asks when it starts, builds and migrates.
            "update_resources_interval": 600,
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
        **middleware(secrets, "nova"),
        **privsep.sections("nova"),
    }
    if node == CONTROLLER:
        sections["database"] = database(secrets, "nova")
        sections["api_database"] = database(secrets, "nova_api")
    return config(CONF, "nova", sections)


def tasks(settings: Settings, secrets: Secrets) -> list[Task]:
    def manage(*words: str) -> Command:
        return as_user("nova", "nova-manage", *words)

    conf = configuration(settings, secrets, CONTROLLER)
    # A question to the database is answered at once, one to nova-manage after seconds.
    know_cells = (
        "set -e; known=$(mariadb -N nova_api -e \"SELECT COUNT(*) FROM cell_mappings WHERE name = 'cell1'\")\n"
        'run() { runuser -u nova -- nova-manage cell_v2 "$@"; }\n'
        "run map_cell0; [ $known -gt 0 ] || run create_cell --name cell1\n"
    )
    return [
        # Three databases at once: `nova-manage db sync` by itself does one after the other.
        tables(_API_SCHEMA, conf, manage("api_db", "sync")),
        tables(_SCHEMA, conf, manage("db", "sync", "--local_cell")),
        tables(
            _CELL0_SCHEMA,
            conf,
            config(_CELL0_CONF, "nova", {"database": database(secrets, "nova_cell0")}),
            manage("--config-file", CONF, "--config-file", _CELL0_CONF, "db", "sync", "--local_cell"),
        ),
        Task(_CELLS, CONTROLLER, (_API_SCHEMA,), (conf, Command(("sh",), stdin=know_cells))),
        Task(
            CONDUCTOR,
            CONTROLLER,
            (_CELLS, _SCHEMA, _CELL0_SCHEMA, QUEUE),
            # Done as soon as it serves, since Debian's unit is of the type notify: nova-compute asks it at once, and
            # waits 10 s for an answer where there is none yet.
            (Units(start=("nova-conductor.service",)),),
        ),
        Task(
            NOVA,
            CONTROLLER,
            # nova-scheduler asks for Placement as its user when it starts, and ends where it is refused.
            (CONDUCTOR, CATALOG, PLACEMENT),
            (
                Units(start=("nova-api.service", "nova-scheduler.service")),
                Await(answers(8774), 60, "Nova answers"),
            ),
        ),
    ]
