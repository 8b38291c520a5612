"""The hypervisors: libvirt and nova-compute on each node, with the settings of live migrations."""

from migrascope.testbed.roles import base, ceph, nova, privsep, tls
from migrascope.testbed.roles.cinder import rbd_secret
from migrascope.testbed.roles.common import Sections, as_user, config
from migrascope.testbed.roles.keystone import CATALOG
from migrascope.testbed.roles.placement import PLACEMENT
from migrascope.testbed.secrets import Secrets
from migrascope.testbed.settings import CONTROLLER, NODES, Settings, address
from migrascope.testbed.task import Action, Await, File, Task, Units

HYPERVISORS = "hypervisors"
UNIT = "nova-compute.service"


def compute(node: str) -> str:
    """The name of the task that brings a node's hypervisor up."""
    return f"nova-compute {node}"


def configuration(settings: Settings, secrets: Secrets, node: str) -> File:
    """/etc/nova/nova-compute.conf of a node, which only nova-compute reads, when it starts."""
    sections: Sections = {
        "DEFAULT": {
            "compute_driver": "libvirt.LibvirtDriver",
            "max_concurrent_live_migrations": settings.migration.max_concurrent,
        },
        "libvirt": _libvirt(settings, secrets, node),
    }
    return config("/etc/nova/nova-compute.conf", "nova", sections)


def _libvirt(settings: Settings, secrets: Secrets, node: str) -> dict[str, object]:
    migration = settings.migration
    return {
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
        "live_migration_with_native_tls": migration.tls,
    }


def tasks(settings: Settings, secrets: Secrets) -> list[Task]:
    return [
        *(_compute(settings, secrets, node) for node in NODES),
        Task(
            HYPERVISORS,
            CONTROLLER,
            tuple(compute(node) for node in NODES),
            (
                Await(
                    ("sh", "-c", f"mariadb -N nova -e 'SELECT COUNT(*) FROM compute_nodes' | grep -qx {len(NODES)}"),
                    90,
                    "both hypervisors have reported",
                ),
                as_user("nova", "nova-manage", "cell_v2", "discover_hosts"),
            ),
        ),
    ]


def _compute(settings: Settings, secrets: Secrets, node: str) -> Task:
    actions: list[Action] = []
    if node != CONTROLLER:
        actions += [ceph.configuration(settings, secrets), nova.configuration(settings, secrets, node)]
    actions += [
        ceph.client(secrets, "nova", "root:nova"),
        configuration(settings, secrets, node),
        *_libvirt_files(secrets, node),
        *tls.certificates(secrets, node),
        Units(
            start=(
                "virtlogd.socket",
                "libvirtd.socket",
                "libvirtd-ro.socket",
                "libvirtd-admin.socket",
                "libvirtd-tcp.socket",
                "libvirtd.service",
                UNIT,
            )
        ),
    ]
    needs = (base.name(node), privsep.name(node), nova.CONDUCTOR, CATALOG, PLACEMENT, ceph.POOLS)
    return Task(compute(node), node, needs, tuple(actions))


def _libvirt_files(secrets: Secrets, node: str) -> list[Action]:
    """libvirt's settings: no confinement, which a container cannot give, and migration by TCP on its own link."""
    daemon = f'host_uuid = "{secrets.uuid(f"host {node}")}"\nauth_tcp = "none"\nlisten_tls = 0\nlisten_tcp = 1\n'
    # As root, for a post-copy opens /dev/userfaultfd, which is this machine's and root's.
    qemu = 'user = "root"\ngroup = "root"\nsecurity_driver = "none"\ncgroup_controllers = []\nnamespaces = []\n'
    qemu += f'default_tls_x509_cert_dir = "{tls.HOME}"\ndefault_tls_x509_verify = 1\n'
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
