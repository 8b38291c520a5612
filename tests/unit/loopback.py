"""A port on loopback that is open."""

import socket


def listening(port: int = 0) -> socket.socket:
    """A port that is open: 1000 handshakes find room, since nobody takes them."""
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("127.0.0.1", port))
    server.listen(1000)
    return server
