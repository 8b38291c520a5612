"""The units of systemd in a testbed's nodes, by service."""

UNITS: dict[str, tuple[str, ...]] = {
    "libvirt": (
        "libvirtd.service", "libvirtd-tcp.socket", "libvirtd-admin.socket", "libvirtd-ro.socket", "libvirtd.socket",
    ),
    "nova-compute": ("nova-compute.service",),
    "l2-agent": ("neutron-openvswitch-agent.service",),
    "ceph-osd": ("ceph-osd@*.service",),
    "rabbitmq": ("rabbitmq-server.service",),
    "database": ("mariadb.service",),
    "ceph-mon": ("ceph-mon@*.service",),
}  # fmt: skip
"""systemd's units of each service as Debian names them, the one with the process first."""
START = 'service=$1; shift; for unit in "$@" "$service"; do systemctl start "$unit" || exit 1; done'
"""A shell's words that start units one after another, sockets before their service: once that runs they are refused."""
