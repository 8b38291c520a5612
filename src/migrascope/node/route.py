"""The way from this machine to an address, as its kernel has it."""

import socket

_ANY_PORT = 9
"""Nothing is sent there: the kernel is only asked how it would be."""


def own_address(towards: str) -> str:
    """The address from which the kernel sends to another of either family, in the calling thread's network namespace.
    OSError where it has no way there."""
    family = socket.AF_INET6 if ":" in towards else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as way:
        way.connect((towards, _ANY_PORT))
        return str(way.getsockname()[0])
