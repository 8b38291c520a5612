"""Round-trip probes at a fixed rate: tables echo_sent and echo_reply.

Config: target (IPv4 or IPv6 address), rate (1/s), kind (icmp: echo requests; tcp: handshakes), port (of TCP; 80 by
default).
"""

from migrascope.node.program import Program
from migrascope.probe.connect import ConnectSocket
from migrascope.probe.icmp import EchoSocket
from migrascope.probe.paced import Stream, probe

_WEBSITE = 80


def main(program: Program) -> None:
    """Sends until the program drains, receives until it ends."""
    with (
        _socket(program.config["kind"], program.config["target"], program.config.get("port", _WEBSITE)) as echo,
        program.spool("echo_sent") as sent,
        program.spool("echo_reply") as replies,
    ):
        probe(program, [Stream(echo, program.config["rate"], sent, replies)])


def _socket(kind: str, target: str, port: int) -> EchoSocket | ConnectSocket:
    return EchoSocket(target) if kind == "icmp" else ConnectSocket(target, port)


if __name__ == "__main__":
    main(Program.from_argv())
