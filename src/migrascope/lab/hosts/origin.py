"""Where on this machine the live stream of a guest of ours on hosts of others comes from."""

from migrascope.model.hosts import GuestPlan
from migrascope.model.problem import Problem
from migrascope.node.route import own_address


def origin_of(guest: GuestPlan) -> tuple[str, int]:
    """Address and port: the plan's, else the address with which this machine's kernel reaches the guest. Problem where
    it has no way there, or is there itself."""
    named, port = guest.origin_named
    if named:
        return named, port
    address = guest.address.partition("/")[0]
    try:
        own = own_address(address)
    except OSError as error:
        raise Problem(
            f"no way from this machine to the guest, {address}: {error.strerror}\n  next: ip route get {address}"
        ) from error
    if own == address:
        raise Problem(f"{address} is this machine's own\n  next: libvirt.guest.address, with one that nobody has")
    return own, port
