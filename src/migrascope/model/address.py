"""Addresses that a plan names: they become part of configurations, URLs and command lines, so they are no free text."""

from ipaddress import IPv4Address, IPv6Address
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema


def reachable(text: str) -> str:
    """The address itself, of IPv4, at which one machine can be reached by another. ValueError where it is none."""
    try:
        found = IPv4Address(text)
    except ValueError:
        raise ValueError(f"{text!r} is no IPv4 address, as 203.0.113.7 is one") from None
    if found.is_unspecified or found.is_multicast or found.is_loopback or found == IPv4Address("255.255.255.255"):
        raise ValueError(f"{text!r} is an address at which no other machine reaches this one")
    return str(found)


def reachable6(text: str) -> str:
    """The address itself, of IPv6 and without a zone, at which one machine can be reached by another, whatever network
    that is on. ValueError where it is none."""
    found = _ipv6(text)
    if found.is_link_local:
        raise ValueError(f"{text!r} is an address of its own link alone")
    return str(found)


def _ipv6(text: str) -> IPv6Address:
    """An address that is a machine's on its link, if not beyond."""
    try:
        found = IPv6Address(text)
    except ValueError:
        raise ValueError(f"{text!r} is no IPv6 address, as 2001:db8::7 is one") from None
    if found.scope_id is not None:
        raise ValueError(f"{text!r} names a zone, which is another on each machine; leave it out")
    if found.is_unspecified or found.is_multicast or found.is_loopback or found.ipv4_mapped is not None:
        raise ValueError(f"{text!r} is an address at which no other machine reaches this one")
    return found


def endpoint(text: str, port: int) -> tuple[str, int]:
    """Address and port of "ADDRESS" or "ADDRESS:PORT"; port: where it names none. ValueError where it is neither."""
    address, colon, number = text.partition(":")
    if not colon:
        return reachable(address), port
    if not (number.isascii() and number.isdigit() and len(number) <= 5 and 0 < int(number) < 2**16):
        raise ValueError(f"{text!r} has no port from 1 to 65535 after its address, as 203.0.113.7:8080 has one")
    return reachable(address), int(number)


def _optional(text: str) -> str:
    return reachable(text) if text else ""


def _optional_router6(text: str) -> str:
    return str(_ipv6(text)) if text else ""


def _optional_endpoint(text: str) -> str:
    if text:
        endpoint(text, 80)
    return text


OptionalAddress = Annotated[
    str, AfterValidator(_optional), WithJsonSchema({"type": "string", "pattern": r"^([0-9]{1,3}(\.[0-9]{1,3}){3})?$"})
]
OptionalRouter6 = Annotated[
    str, AfterValidator(_optional_router6), WithJsonSchema({"type": "string", "pattern": "^[0-9A-Fa-f:.]*$"})
]
"""A router's address of IPv6, which may be that of its link."""
OptionalEndpoint = Annotated[
    str,
    AfterValidator(_optional_endpoint),
    WithJsonSchema({"type": "string", "pattern": r"^([0-9]{1,3}(\.[0-9]{1,3}){3}(:[0-9]{1,5})?)?$"}),
]
"""An address, and after a colon a port where it is another than the usual."""
