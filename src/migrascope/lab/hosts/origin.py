"""Where on this machine the live stream of a guest of ours on hosts of others comes from."""

from migrascope.lab.hosts.way import own_towards
from migrascope.model.hosts import GuestPlan


def origin_of(guest: GuestPlan) -> tuple[str, int]:
    """Address and port: the plan's, else the address with which this machine's kernel reaches the guest. Problem where
    it has no way there, or is there itself."""
    named, port = guest.origin_named
    if named:
        return named, port
    return own_towards(guest.address.partition("/")[0], "libvirt.guest.address"), port
