"""What the nodes' root image holds: OpenStack 2025.1 and Ceph 18 as Debian trixie ships them, and nothing that starts.

Both nodes have the same image; what starts on which is said by the roles.
"""

from migrascope.node.image import Recipe

_SYSTEM = "ca-certificates curl dbus iproute2 iputils-ping kmod less netbase procps sudo systemd systemd-sysv"
_CEPH = "ceph-common ceph-mgr ceph-mgr-modules-core ceph-mon ceph-osd python3-rados python3-rbd"
_INFRASTRUCTURE = (
    "mariadb-server memcached python3-memcache python3-pymemcache python3-pymysql rabbitmq-server"
    " uwsgi-core uwsgi-plugin-python3"
)
_CONTROL = "cinder-api cinder-scheduler cinder-volume glance-api keystone openstack-dashboard placement-api"
# nova-compute-kvm emulates as well; nova-compute-qemu would bring QEMU for every architecture.
_COMPUTE = "nova-api nova-compute nova-compute-kvm nova-conductor nova-consoleproxy nova-scheduler"
_NETWORK = (
    "neutron-api neutron-dhcp-agent neutron-l3-agent neutron-metadata-agent neutron-openvswitch-agent"
    " neutron-ovn-metadata-agent neutron-periodic-workers neutron-rpc-server openvswitch-switch ovn-central ovn-host"
    " python3-openstackclient"
)

# What would change settings of the kernel, which is this machine's too, or look after hardware, which is none of ours.
MASKED = (
    "dev-hugepages.mount",
    "e2scrub_reap.service",
    "iscsid.service",
    "iscsid.socket",
    "lvm2-lvmpolld.socket",
    "lvm2-monitor.service",
    "dm-event.socket",
    "open-iscsi.service",
    "proc-sys-fs-binfmt_misc.automount",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "systemd-binfmt.service",
    "systemd-journald-audit.socket",
    "systemd-modules-load.service",
    "systemd-sysctl.service",
    "systemd-udev-trigger.service",
    "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket",
    "systemd-udevd.service",
)

# No unit starts unasked: neither by links (of units and of init scripts) nor by timers, nor a network by libvirt.
_NOTHING_STARTS = (
    'rm -rf "$1"/etc/systemd/system/*.wants "$1"/etc/systemd/system/*.requires "$1"/etc/rc?.d/*'
    ' "$1"/etc/libvirt/qemu/networks/autostart/*',
    'cd "$1"/etc/systemd/system && for unit in ' + " ".join(MASKED) + '; do ln -sf /dev/null "$unit"; done',
)
# What packages drew at random when they were installed must not be the same in every node. An empty machine-id is
# filled in at each boot; without the file systemd would take it for the first one and enable every unit.
_NO_SECRETS = (
    'rm -f "$1"/var/lib/rabbitmq/.erlang.cookie "$1"/var/lib/dbus/machine-id "$1"/etc/iscsi/initiatorname.iscsi',
    ': > "$1"/etc/machine-id; rm -f "$1"/etc/nova/nova-compute.conf',
)
# Debian's APIs have 8 or 16 processes each and log into files; here one process serves, and the journal has all logs.
_SMALL = (
    "sed -i -e 's/^processes = .*/processes = 1/' -e 's/^plugins = .*/plugins = python3/' -e '/^apparmor-profile/d'"
    " -e '/^logto/d' \"$1\"/etc/*/*-uwsgi.ini",
    'echo USE_LOGFILE=no > "$1"/etc/default/openstack',
)
_JOURNAL = (
    'mkdir -p "$1"/etc/systemd/journald.conf.d "$1"/var/log/journal;'
    " printf '[Journal]\\nStorage=persistent\\nSystemMaxUse=200M\\nAudit=no\\nReadKMsg=no\\n'"
    ' > "$1"/etc/systemd/journald.conf.d/migrascope.conf',
)

NODE = Recipe(
    name="node",
    suite="trixie",
    packages=tuple(" ".join((_SYSTEM, _CEPH, _INFRASTRUCTURE, _CONTROL, _COMPUTE, _NETWORK)).split()),
    commands=(*_NOTHING_STARTS, *_NO_SECRETS, *_SMALL, *_JOURNAL),
    wanted_bytes=4_500_000_000,
)
