"""The way from this machine to a guest of ours on hosts of others."""

from migrascope.model.family import SECOND
from migrascope.model.hosts import GuestPlan
from migrascope.model.problem import Problem
from migrascope.node.route import own_address

LEAVE = f"leave {SECOND} out of families"


def own_towards(guest: str, key: str) -> str:
    """The address with which this machine's kernel reaches the guest's, of either family. key: the plan's, that names
    the guest's. Problem where it has no way there, or is there itself."""
    try:
        own = own_address(guest)
    except OSError as error:
        raise Problem(
            f"no way from this machine to the guest, {guest}: {error.strerror}\n  next: ip route get {guest}"
        ) from error
    if own == guest:
        raise Problem(f"{guest} is this machine's own\n  next: {key}, with one that nobody has")
    return own


def own_towards6(guest: str) -> str:
    """The same of an address of IPv6."""
    try:
        return own_towards(guest, "libvirt.guest.address6")
    except Problem as error:
        raise Problem(f"{error}, or {LEAVE}") from error


def need_way6(guest: GuestPlan) -> None:
    """Problem where this machine has no way to the plan's address of IPv6."""
    own_towards6(guest.own6)
