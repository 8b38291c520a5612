"""Who swallows what the guest's network load sends: a program at the client's address towards the instance."""

import socket
from functools import partial

from migrascope.lab.contract import Instance
from migrascope.node.member import Member
from migrascope.node.namespace import Namespace


class Swallow:
    """Its address, and the program that listens there."""

    def __init__(self, instance: Instance, client: Namespace | None) -> None:
        look = partial(_free_port, instance.address)
        self._client = client
        self._address, self._port = look() if client is None else client.call(look)

    @property
    def to(self) -> str:
        """Where the guest sends, as guest/stress.py wants it."""
        return f"{self._address}:{self._port}"

    def member(self) -> Member:
        config = {"address": self._address, "port": self._port}
        return Member("sink", "migrascope.workload.sink", "client", self._client, config)


def _free_port(towards: str) -> tuple[str, int]:
    """The own address towards another, and a TCP port that is free there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        way.connect((towards, 9))
        own: str = way.getsockname()[0]
    with socket.create_server((own, 0)) as server:
        port: int = server.getsockname()[1]
        return own, port
