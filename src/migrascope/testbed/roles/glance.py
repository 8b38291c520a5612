"""Glance, with its images in Ceph's pool `images`, of which volumes are copy-on-write clones."""

from migrascope.testbed.roles import ceph
from migrascope.testbed.roles.common import CONTROL, Sections, answers, as_user, config, database, middleware
from migrascope.testbed.roles.infrastructure import tables
from migrascope.testbed.secrets import Secrets
from migrascope.testbed.settings import CONTROLLER
from migrascope.testbed.task import Await, Task, Units

GLANCE, _SCHEMA = "glance", "glance schema"
_FOLDER = "/var/lib/glance"


def tasks(secrets: Secrets) -> list[Task]:
    sections: Sections = {
        "DEFAULT": {
            "use_stderr": True,
            "bind_host": "0.0.0.0",
            # All in one process: one that looks after others asks a hundred times a second whether they have ended.
            "workers": 0,
            "enabled_backends": "rbd:rbd",
            # The location by which Cinder and Nova clone an image instead of copying it.
            "show_image_direct_url": True,
            "image_cache_dir": f"{_FOLDER}/image-cache",
            "worker_self_reference_url": f"http://{CONTROL}:9292",
        },
        "database": database(secrets, "glance"),
        "glance_store": {"default_backend": "rbd"},
        "rbd": {
            "rbd_thin_provisioning": True,
            "rbd_store_pool": "images",
            "rbd_store_user": "glance",
            "rbd_store_ceph_conf": "/etc/ceph/ceph.conf",
        },
        "os_glance_tasks_store": {"filesystem_store_datadir": f"{_FOLDER}/tasks"},
        "os_glance_staging_store": {"filesystem_store_datadir": f"{_FOLDER}/staging"},
        "keystone_authtoken": middleware(secrets, "glance")["keystone_authtoken"],
        "paste_deploy": {"flavor": "keystone"},
    }
    return [
        tables(
            _SCHEMA,
            config("/etc/glance/glance-api.conf", "glance", sections),
            as_user("glance", "glance-manage", "db_sync"),
        ),
        Task(
            GLANCE,
            CONTROLLER,
            (_SCHEMA, ceph.POOLS),
            (
                ceph.client(secrets, "glance", "root:glance"),
                Units(start=("glance-api.service",)),
                Await(answers(9292), 60, "Glance answers"),
            ),
        ),
    ]
