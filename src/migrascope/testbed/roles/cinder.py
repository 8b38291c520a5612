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

CINDER, _SCHEMA = "cinder", "cinder schema"
BACKEND = "ceph"


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
                Units(start=("cinder-api.service", "cinder-scheduler.service", "cinder-volume.service")),
                Await(answers(8776), 60, "Cinder answers"),
            ),
        ),
    ]
