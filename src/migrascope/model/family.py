"""Address families: what plans call them, and by what the second one's recordings and figures are told apart."""

import re
from typing import Literal

Family = Literal["ipv4", "ipv6"]
FIRST: Family = "ipv4"
"""Whose figures and sources have the plain names."""
SECOND: Family = "ipv6"
NOT_PLANNED = f'the plan measures IPv4 alone (families = ["{FIRST}"])'
DUAL_STACK = ("qemu", "libvirt", "openstack", "fake")
"""The labs whose instances have an address of the second one, too."""
RECORDED_BY_FAMILY = (
    "echo_sent", "echo_reply", "back_off", "stamp_sent", "stamp_reply", "visit", "segment", "arrival", "tcp_info",
)  # fmt: skip
"""The tables whose rows are read by family: each program writes under a source of its own. Liveness is read as one, for
the guest has one counter and one chain for all that ask it."""
_UNIT = re.compile(r"_(?:s|ratio|bps)(?=\.|$)")


def source_of(name: str, family: Family) -> str:
    """The source under which a program of that family records: `echo`, and `echo-ipv6`."""
    return name if family == FIRST else f"{name}-{family}"


def family_of(source: str) -> Family:
    """The family of a program that records under this source."""
    return SECOND if source.endswith(f"-{SECOND}") else FIRST


def key_of(key: str, what: str = SECOND) -> str:
    """The key of a figure over the second family, or of something else (what) about the figure: before its unit, where
    it ends with one (`network_blackout_ipv6_s`), else at its end."""
    unit = _UNIT.search(key)
    return f"{key}_{what}" if unit is None else f"{key[: unit.start()]}_{what}{key[unit.start() :]}"


def host_of(address: str) -> str:
    """An address as a URL has it."""
    return f"[{address}]" if ":" in address else address
