"""Round-trip probes at a fixed rate: tables echo_sent and echo_reply.

Config: target (IPv4 or IPv6 address), rate (1/s), kind (icmp: echo requests; tcp: handshakes), port (of TCP; 80 by
default), heeds (whether it pauses when ICMP says that it is prohibited, with the table back_off; false by default).
"""

from contextlib import ExitStack

from migrascope.node.program import Program
from migrascope.probe.connect import ConnectSocket
from migrascope.probe.icmp import EchoSocket
from migrascope.probe.paced import Heed, Stream, probe

_WEBSITE = 80


def main(program: Program) -> None:
    """Sends until the program drains, receives until it ends."""
    config = program.config
    with (
        _socket(config["kind"], config["target"], config.get("port", _WEBSITE)) as echo,
        program.spool("echo_sent") as sent,
        program.spool("echo_reply") as replies,
        ExitStack() as stack,
    ):
        heed = None
        if config.get("heeds") and isinstance(echo, EchoSocket):
            echo.heed()
            heed = Heed(echo.prohibited, stack.enter_context(program.spool("back_off")))
        probe(program, [Stream(echo, config["rate"], sent, replies, heed=heed)])


def _socket(kind: str, target: str, port: int) -> EchoSocket | ConnectSocket:
    return EchoSocket(target) if kind == "icmp" else ConnectSocket(target, port)


if __name__ == "__main__":
    main(Program.from_argv())
