"""Who swallows what the guest's network load sends: a program at the client's address towards the instance."""

import socket
from functools import partial

from migrascope.lab.contract import Instance
from migrascope.node.member import Member
from migrascope.node.namespace import Namespace
from migrascope.trial.crew import Crew


async def begin(instance: Instance, client: Namespace | None, crew: Crew) -> str:
    """Starts it. Gives where the guest sends, as guest/stress.py wants it."""
    look = partial(_free_port, instance.address)
    address, port = look() if client is None else client.call(look)
    config = {"address": address, "port": port}
    await crew.start([Member("sink", "migrascope.workload.sink", "client", client, config)])
    return f"{address}:{port}"


def _free_port(towards: str) -> tuple[str, int]:
    """The own address towards another, and a TCP port that is free there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        way.connect((towards, 9))
        own: str = way.getsockname()[0]
    with socket.create_server((own, 0)) as server:
        port: int = server.getsockname()[1]
        return own, port
