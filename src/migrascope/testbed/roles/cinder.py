"""Cinder, with its volumes in Ceph's pool `volumes`."""

from migrascope.testbed.roles import ceph
from migrascope.testbed.roles.common import (
    CONTROL,
    REGION,
    Sections,
    answers,
    as_user,
    config,
    credentials,
    database,
    middleware,
    transport,
)
from migrascope.testbed.roles.infrastructure import QUEUE, tables
from migrascope.testbed.secrets import Secrets
from migrascope.testbed.settings import CONTROLLER
from migrascope.testbed.task import Await, Task, Units

CINDER, VOLUMES, _SCHEMA = "cinder", "cinder volumes", "cinder schema"
BACKEND = "ceph"
# The scheduler writes when it began, and listens right after that.
_SCHEDULES = """
began=$(systemctl show --timestamp=unix --property ActiveEnterTimestamp --value cinder-scheduler.service)
seen="SET time_zone = '+00:00'; SELECT COUNT(*) FROM services WHERE topic = 'cinder-scheduler'
      AND COALESCE(updated_at, created_at) >= FROM_UNIXTIME(${began#@})"
for second in $(seq 60); do
  mariadb -N cinder -e "$seen" | grep -q '[1-9]' && exit 0
  sleep 1
done
exit 1
"""


def rbd_secret(secrets: Secrets, user: str) -> str:
    """The UUID under which each libvirt knows the key of a Ceph client."""
    return secrets.uuid(f"libvirt secret {user}")


def tasks(secrets: Secrets) -> list[Task]:
    sections: Sections = {
        "DEFAULT": {
            "use_stderr": True,
            "transport_url": transport(secrets),
            "my_ip": CONTROL,
            "host": CONTROLLER,
            "enabled_backends": BACKEND,
            "glance_api_servers": f"http://{CONTROL}:9292",
            "osapi_volume_workers": 1,
            "state_path": "/var/lib/cinder",
        },
        BACKEND: {
            "volume_driver": "cinder.volume.drivers.rbd.RBDDriver",
            "volume_backend_name": BACKEND,
            "rbd_pool": "volumes",
            "rbd_user": "cinder",
            "rbd_secret_uuid": rbd_secret(secrets, "cinder"),
            "rbd_ceph_conf": "/etc/ceph/ceph.conf",
            "rbd_flatten_volume_from_snapshot": False,
        },
        "database": database(secrets, "cinder"),
        "oslo_concurrency": {"lock_path": "/var/lock/cinder"},
        "nova": {**credentials(secrets, "nova"), "region_name": REGION, "interface": "internal"},
        **middleware(secrets, "cinder"),
    }
    return [
        tables(
            _SCHEMA,
            config("/etc/cinder/cinder.conf", "cinder", sections),
            as_user("cinder", "cinder-manage", "db", "sync"),
        ),
        Task(
            CINDER,
            CONTROLLER,
            (_SCHEMA, QUEUE, ceph.POOLS),
            (
                ceph.client(secrets, "cinder", "root:cinder"),
                Units(start=("cinder-api.service", "cinder-scheduler.service")),
                Await(answers(8776), 60, "Cinder answers"),
            ),
        ),
        Task(
            VOLUMES,
            CONTROLLER,
            (CINDER,),
            # cinder-volume tells of its room when it starts, and then each minute: a scheduler that came up at the same
            # time missed the first word more often than not, and nothing could be created until the second.
            (
                Await(("sh", "-c", _SCHEDULES), 90, "Cinder's scheduler listens"),
                Units(start=("cinder-volume.service",)),
            ),
        ),
    ]
