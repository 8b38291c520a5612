"""What the control plane stands on: MariaDB, RabbitMQ and memcached, each on the controller's management address."""

from migrascope.testbed.roles.base import CONTROLLER_BASE
from migrascope.testbed.roles.common import CONTROL, ini
from migrascope.testbed.secrets import Secrets
from migrascope.testbed.settings import CONTROLLER
from migrascope.testbed.task import Action, Await, Command, File, Task, Units

DATABASE, QUEUE, CACHE = "mariadb", "rabbitmq", "memcached"
_DATABASES = ("keystone", "glance", "placement", "nova", "nova_api", "nova_cell0", "neutron", "cinder")


def tasks(secrets: Secrets) -> list[Task]:
    return [_mariadb(secrets), _rabbitmq(secrets), _memcached()]


def tables(name: str, *actions: Action) -> Task:
    """The task that gives a service its tables, as soon as there is a database."""
    return Task(name, CONTROLLER, (DATABASE,), actions)


def _mariadb(secrets: Secrets) -> Task:
    settings = {
        "mariadbd": {
            "bind-address": CONTROL,
            "max_connections": 500,
            "innodb_buffer_pool_size": "128M",
            # A power failure of the whole machine may cost the last second; nothing here is worth a flush each time.
            "innodb_flush_log_at_trx_commit": 2,
            # On since MariaDB 11.6: to update a row that somebody else has changed meanwhile then fails (error 1020),
            # which not all of OpenStack repeats (Launchpad bug 2116186).
            "innodb_snapshot_isolation": 0,
            "skip-name-resolve": 1,
            "performance_schema": 0,
        }
    }
    statements = []
    for name in _DATABASES:
        user = name.partition("_")[0]
        statements += [
            f"CREATE DATABASE IF NOT EXISTS {name} CHARACTER SET utf8mb3;",
            f"CREATE USER IF NOT EXISTS '{user}'@'%' IDENTIFIED BY '{secrets.password(f'database {user}')}';",
            f"GRANT ALL ON {name}.* TO '{user}'@'%';",
        ]
    return Task(
        DATABASE,
        CONTROLLER,
        (CONTROLLER_BASE,),
        (
            File("/etc/mysql/mariadb.conf.d/90-migrascope.cnf", ini(settings)),
            Units(start=("mariadb.service",)),
            Await(("mariadb-admin", "ping"), 60, "MariaDB answers"),
            Command(("mariadb",), stdin="\n".join(statements)),
        ),
    )


def _rabbitmq(secrets: Secrets) -> Task:
    # The user is made from this file when the broker first starts: its command line takes seconds for each call.
    settings = (
        f"listeners.tcp.1 = {CONTROL}:5672\n"
        "default_user = openstack\n"
        f"default_pass = {secrets.password('rabbitmq')}\n"
        "default_permissions.configure = .*\ndefault_permissions.read = .*\ndefault_permissions.write = .*\n"
        "vm_memory_high_watermark.absolute = 1GB\n"
        "disk_free_limit.absolute = 200MB\n"
    )
    environment = (
        f"NODENAME=rabbit@{CONTROLLER}\n"
        # Erlang's schedulers spin while idle otherwise.
        'SERVER_ADDITIONAL_ERL_ARGS="+sbwt none +sbwtdcpu none +sbwtdio none +S 2:2"\n'
    )
    return Task(
        QUEUE,
        CONTROLLER,
        (CONTROLLER_BASE,),
        (
            File("/etc/rabbitmq/rabbitmq.conf", settings, 0o640, "root:rabbitmq"),
            File("/etc/rabbitmq/rabbitmq-env.conf", environment),
            File("/var/lib/rabbitmq/.erlang.cookie", secrets.password("erlang"), 0o400, "rabbitmq:rabbitmq"),
            Units(start=("rabbitmq-server.service",)),
        ),
    )


def _memcached() -> Task:
    return Task(
        CACHE,
        CONTROLLER,
        (CONTROLLER_BASE,),
        (
            File(
                "/etc/memcached.conf", f"-m 64\n-p 11211\n-u memcache\n-l {CONTROL}\n-P /run/memcached/memcached.pid\n"
            ),
            Units(start=("memcached.service",)),
        ),
    )
