"""Horizon, the web interface, served by uwsgi with its static files; sessions are signed cookies."""

from migrascope.testbed.roles import hypervisor
from migrascope.testbed.roles.common import CONTROL, IDENTITY, ini
from migrascope.testbed.roles.keystone import KEYSTONE
from migrascope.testbed.secrets import Secrets
from migrascope.testbed.settings import CONTROLLER, NODES
from migrascope.testbed.task import Await, File, Task, Units

HORIZON = "horizon"
PORT = 80
_UWSGI = "/etc/openstack-dashboard/uwsgi.ini"
_FOLDER = "/usr/share/openstack-dashboard"


def tasks(secrets: Secrets) -> list[Task]:
    settings: dict[str, object] = {
        "DEBUG": False,
        "WEBROOT": "/",
        "ALLOWED_HOSTS": ["*"],
        "SECRET_KEY": secrets.password("horizon"),
        "SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies",
        "CACHES": {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
        "COMPRESS_OFFLINE": True,
        "STATIC_ROOT": "/var/lib/openstack-dashboard/static/",
        "OPENSTACK_KEYSTONE_URL": IDENTITY,
        "OPENSTACK_ENDPOINT_TYPE": "internalURL",
        "TIME_ZONE": "UTC",
    }
    uwsgi = {
        "uwsgi": {
            "plugins": "python3",
            "master": True,
            "die-on-term": True,
            "enable-threads": True,
            "processes": 1,
            "threads": 4,
            "buffer-size": 65535,
            "http-socket": f"{CONTROL}:{PORT}",
            "chdir": _FOLDER,
            "wsgi-file": f"{_FOLDER}/wsgi.py",
            "static-map": "/static=/var/lib/openstack-dashboard/static",
        }
    }
    unit = {
        "Unit": {"Description": "Horizon"},
        "Service": {
            "User": "www-data",
            "AmbientCapabilities": "CAP_NET_BIND_SERVICE",
            "Type": "notify",
            "NotifyAccess": "all",
            "ExecStart": f"/usr/bin/uwsgi --ini {_UWSGI}",
            "Restart": "on-failure",
            "KillSignal": "SIGTERM",
        },
    }
    text = "".join(f"{name} = {value!r}\n" for name, value in settings.items())
    log_in = f"http://{CONTROL}:{PORT}/auth/login/"
    return [
        Task(
            HORIZON,
            CONTROLLER,
            # The last of all: on two cores it would take its time from nova-compute, for which everything waits.
            (KEYSTONE, *(hypervisor.compute(node) for node in NODES)),
            (
                File("/etc/openstack-dashboard/local_settings.py", text, 0o640, "root:www-data"),
                File(_UWSGI, ini(uwsgi)),
                File("/etc/systemd/system/horizon.service", ini(unit).replace(" = ", "=")),
                Units(start=("horizon.service",)),
                Await(
                    ("curl", "--silent", "--fail", "--output", "/dev/null", "--max-time", "20", log_in),
                    60,
                    "Horizon shows its log-in page",
                ),
            ),
        )
    ]
