"""The way from this machine to an address, as its kernel has it."""

import socket

_ANY_PORT = 9
"""Nothing is sent there: the kernel is only asked how it would be."""


def own_address(towards: str) -> str:
    """The IPv4 address from which the kernel sends to another, in the calling thread's network namespace. OSError where
    it has no way there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        way.connect((towards, _ANY_PORT))
        return str(way.getsockname()[0])
