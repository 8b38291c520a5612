"""Ceph on the storage link: a monitor and a manager on the controller, a store on each node, a pool for each service.

Pools hold two copies, one on each node, and go on with one.
"""

from migrascope.testbed.roles import base
from migrascope.testbed.roles.common import Sections, ini
from migrascope.testbed.secrets import Secrets
from migrascope.testbed.settings import CONTROLLER, NODES, PREFIX, Settings, address
from migrascope.testbed.task import Await, Command, File, Task, Units

MONITOR, MANAGER, POOLS = "ceph monitor", "ceph manager", "ceph pools"
_POOLS = ("images", "volumes", "vms")
_KEYRING = "/etc/ceph/ceph.client.{}.keyring"
# What each may do: no more than its work needs (docs.ceph.com, "Block Devices and OpenStack").
_CAPS = {
    "mon.": {"mon": "allow *"},
    "client.admin": {"mon": "allow *", "osd": "allow *", "mgr": "allow *", "mds": "allow *"},
    f"mgr.{CONTROLLER}": {"mon": "allow profile mgr", "osd": "allow *", "mds": "allow *"},
    "osd.0": {"mon": "allow profile osd", "mgr": "allow profile osd", "osd": "allow *"},
    "osd.1": {"mon": "allow profile osd", "mgr": "allow profile osd", "osd": "allow *"},
    "client.glance": {"mon": "profile rbd", "osd": "profile rbd pool=images", "mgr": "profile rbd pool=images"},
    "client.cinder": {
        "mon": "profile rbd",
        "osd": "profile rbd pool=volumes, profile rbd pool=vms, profile rbd-read-only pool=images",
        "mgr": "profile rbd pool=volumes, profile rbd pool=vms",
    },
    "client.nova": {
        "mon": "profile rbd",
        "osd": "profile rbd pool=vms, profile rbd-read-only pool=images",
        "mgr": "profile rbd pool=vms",
    },
}
# The manager loads every module that it finds, each into a Python interpreter of its own, enabled or not. These are
# neither enabled nor always on, and would cost half of its start and of its memory.
_NOT_LOADED = (
    "alerts", "influx", "insights", "localpool", "mirroring", "nfs", "osd_perf_query", "osd_support", "prometheus",
    "restful", "selftest", "snap_schedule", "stats", "telegraf", "test_orchestrator", "zabbix",
)  # fmt: skip
# bcrypt refuses to be loaded into the manager's sub-interpreters, which then count as broken; nothing here calls it.
_BCRYPT = '"""In place of bcrypt, which refuses sub-interpreters: only the dashboard would hash passwords."""\n'


def osd(node: str) -> str:
    """The name of the task that brings a node's store up."""
    return f"ceph osd {node}"


def client(secrets: Secrets, user: str, owner: str) -> File:
    """A client's keyring, which only its service reads."""
    entity = f"client.{user}"
    return File(_KEYRING.format(user), _keyring(secrets, entity), 0o640, owner)


def configuration(settings: Settings, secrets: Secrets) -> File:
    """/etc/ceph/ceph.conf, the same on both nodes."""
    monitor = address(CONTROLLER, "storage")
    sections: Sections = {
        "global": {
            "fsid": secrets.uuid("ceph"),
            "mon_initial_members": CONTROLLER,
            "mon_host": f"[v2:{monitor}:3300/0,v1:{monitor}:6789/0]",
            "public_network": f"{PREFIX['storage']}0/24",
            "auth_cluster_required": "cephx",
            "auth_service_required": "cephx",
            "auth_client_required": "cephx",
            "auth_allow_insecure_global_id_reclaim": False,
            "osd_pool_default_size": 2,
            "osd_pool_default_min_size": 1,
            "osd_pool_default_pg_num": 16,
            "osd_pool_default_pg_autoscale_mode": "off",
            # The share of free space on this machine's disk at which Ceph warns; it is shared with everything else.
            "mon_data_avail_warn": 5,
            "log_to_file": False,
            "log_to_stderr": True,
            "mon_cluster_log_to_file": False,
            "err_to_stderr": True,
        },
        # Changes of the cluster's maps are agreed on at once, not gathered for a second.
        "mon": {"mgr_initial_modules": "iostat", "paxos_propose_interval": 0.05},
        "osd": {
            "bluestore_block_size": settings.osd_bytes,
            "bluestore_cache_autotune": False,
            "bluestore_cache_size": 64 * 2**20,
            "osd_memory_target": 2**30,
        },
    }
    return File("/etc/ceph/ceph.conf", ini(sections))


def tasks(settings: Settings, secrets: Secrets) -> list[Task]:
    return [
        _monitor(settings, secrets),
        _manager(secrets),
        *(_osd(settings, secrets, number, node) for number, node in enumerate(NODES)),
        Task(
            POOLS,
            CONTROLLER,
            (MANAGER, *(osd(node) for node in NODES)),
            (
                Command(("python3", "-"), stdin=_MAKE_POOLS.format(pools=_POOLS)),
                Await(("python3", "-c", _HAVE_ROOM), 60, "the stores have told how much room the pools have"),
            ),
        ),
    ]


def _keyring(secrets: Secrets, *entities: str) -> str:
    return ini(
        {
            entity: {
                "key": secrets.ceph_key(entity),
                **{f"caps {of}": f'"{text}"' for of, text in _CAPS[entity].items()},
            }
            for entity in entities
        }
    )


def _monitor(settings: Settings, secrets: Secrets) -> Task:
    folder, keys = f"/var/lib/ceph/mon/ceph-{CONTROLLER}", "/var/lib/ceph/tmp/initial.keyring"
    monitor = address(CONTROLLER, "storage")
    # All keys are known beforehand, so the monitor is born with them. A monitor that has its map is not made again.
    make = (
        f"set -e; [ ! -e {folder}/done ] || exit 0; rm -rf {folder}; map=$(mktemp)\n"
        f"monmaptool --create --clobber --fsid {secrets.uuid('ceph')}"
        f" --addv {CONTROLLER} '[v2:{monitor}:3300,v1:{monitor}:6789]' $map\n"
        f"chown ceph $map; ceph-mon --mkfs -i {CONTROLLER} --monmap $map --keyring {keys}"
        f" --setuser ceph --setgroup ceph\nrm -f $map; touch {folder}/done\n"
    )
    osds = "".join(
        f"ceph osd new {secrets.uuid(f'osd {number}')} {number} >/dev/null\n" for number in range(len(NODES))
    )
    return Task(
        MONITOR,
        CONTROLLER,
        (base.CONTROLLER_BASE,),
        (
            configuration(settings, secrets),
            File(keys, _keyring(secrets, *_CAPS), 0o600, "ceph:ceph"),
            File(_KEYRING.format("admin"), _keyring(secrets, "client.admin"), 0o600),
            Command(("sh",), stdin=f"mkdir -p /var/lib/ceph/mon; chown ceph /var/lib/ceph/mon\n{make}"),
            Units(start=(f"ceph-mon@{CONTROLLER}.service",)),
            Await(("ceph", "--connect-timeout", "5", "quorum_status"), 60, "the monitor has its quorum"),
            Command(("sh", "-e"), stdin=osds),
        ),
    )


def _manager(secrets: Secrets) -> Task:
    folder = f"/var/lib/ceph/mgr/ceph-{CONTROLLER}"
    return Task(
        MANAGER,
        CONTROLLER,
        (MONITOR,),
        (
            File("/usr/share/ceph/mgr/bcrypt.py", _BCRYPT),
            File(f"{folder}/keyring", _keyring(secrets, f"mgr.{CONTROLLER}"), 0o600, "ceph:ceph"),
            Command(("rm", "-rf", *(f"/usr/share/ceph/mgr/{module}" for module in _NOT_LOADED))),
            Units(start=(f"ceph-mgr@{CONTROLLER}.service",)),
        ),
    )


def _osd(settings: Settings, secrets: Secrets, number: int, node: str) -> Task:
    folder = f"/var/lib/ceph/osd/ceph-{number}"
    make = (
        f"set -e; [ ! -e {folder}/done ] || exit 0; chown -R ceph:ceph {folder}; rm -f {folder}/block {folder}/fsid\n"
        f"ceph-osd --mkfs -i {number} --osd-uuid {secrets.uuid(f'osd {number}')} --setuser ceph --setgroup ceph\n"
        f"touch {folder}/done\n"
    )
    return Task(
        osd(node),
        node,
        (base.name(node), MONITOR),
        (
            configuration(settings, secrets),
            File(f"{folder}/keyring", _keyring(secrets, f"osd.{number}"), 0o600, "ceph:ceph"),
            Command(("sh",), stdin=make),
            Units(start=(f"ceph-osd@{number}.service",)),
        ),
    )


_MAKE_POOLS = """
import json, rados, rbd
with rados.Rados(conffile="/etc/ceph/ceph.conf") as cluster:
    def command(**words):
        code, _, problem = cluster.mon_command(json.dumps(words), b"")
        if code:
            raise SystemExit(f"{{words}}: {{problem}}")
    for pool in {pools}:
        command(prefix="osd pool create", pool=pool, pg_num=16, pgp_num=16)
    for pool in {pools}:
        with cluster.open_ioctx(pool) as context:
            rbd.RBD().pool_init(context, True)
"""

_HAVE_ROOM = f"""
import json, rados
with rados.Rados(conffile="/etc/ceph/ceph.conf") as cluster:
    _, said, problem = cluster.mon_command(json.dumps({{"prefix": "df", "format": "json"}}), b"")
room = {{pool["name"]: pool["stats"]["max_avail"] for pool in json.loads(said)["pools"]}}
if not all(room.get(pool) for pool in {_POOLS}):
    raise SystemExit(f"room in bytes: {{room}} {{problem}}")
"""
