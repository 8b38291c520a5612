"""Packets that ICMP says are not delivered: their flow is refused, and by whom."""

import csv
import io
import subprocess
from pathlib import Path

import pytest

from captures import Packet, ethernet, icmp, ip, tcp, udp, unreachable, vxlan
from migrascope.qos.result import FlowQos, Qos
from migrascope.qos.table import table
from migrascope.qos.text import flow_name
from needs import tshark_program
from talks import CLIENT, MS, RST, SERVER, SYN, Conversation, answered, only, packet, read, sent_by, tagged, written

ROUTER = "10.0.0.254"
C6, S6, R6 = "2001:db8::1", "2001:db8::2", "2001:db8::fe"
ASKED = {
    "tcp": tcp((40000, 80), 1000, 0, SYN),
    "udp": udp((40000, 53), b"question"),
    "icmp": icmp(8, 3, 1),
}
PROTOCOLS = {"tcp": 6, "udp": 17, "icmp": 1}


def refused(protocol: str, code: int, *, by: str = ROUTER, kept: int = 28) -> list[Packet]:
    asked = ip(CLIENT, SERVER, PROTOCOLS[protocol], ASKED[protocol])
    return [packet(0, ethernet(asked)), packet(3, ethernet(ip(by, CLIENT, 1, unreachable(code, asked, kept=kept))))]


def refused6(code: int) -> list[Packet]:
    asked = ip(C6, S6, 6, ASKED["tcp"])
    said = ip(R6, C6, 58, unreachable(code, asked, kept=48))
    return [packet(0, ethernet(asked, 0x86DD)), packet(3, ethernet(said, 0x86DD))]


def told(flow: FlowQos) -> list[tuple[str, str, int]]:
    return [(refusal.by, refusal.why, refusal.count) for refusal in flow.directions[0].refusals]


@pytest.mark.parametrize("protocol", ASKED)
@pytest.mark.parametrize(
    ("code", "why"),
    [(0, "network unreachable"), (1, "host unreachable"), (3, "port unreachable"), (13, "administratively prohibited")],
)
def test_a_flow_is_refused_and_by_whom(tmp_path: Path, protocol: str, code: int, why: str) -> None:
    flow = only(read(written(tmp_path, refused(protocol, code))))
    assert told(flow) == [(ROUTER, why, 1)]
    assert flow.directions[0].refusals[0].first_s == pytest.approx(0.003)
    assert f"; refused by {ROUTER} ({why})" in flow_name(flow)
    if protocol == "tcp":
        assert flow.initial_rtt.reason == f"refused: {why}, says {ROUTER}"


@pytest.mark.parametrize(
    ("code", "why"), [(0, "no route"), (1, "administratively prohibited"), (3, "address unreachable"),
                      (4, "port unreachable")]
)  # fmt: skip
def test_over_ipv6_too(tmp_path: Path, code: int, why: str) -> None:
    assert told(only(read(written(tmp_path, refused6(code))))) == [(R6, why, 1)]


@pytest.mark.parametrize("kept", [28, 40, 48])
def test_however_much_of_the_packet_comes_back(tmp_path: Path, kept: int) -> None:
    assert told(only(read(written(tmp_path, refused("tcp", 3, kept=kept))))) == [(ROUTER, "port unreachable", 1)]


@pytest.mark.parametrize("kept", [0, 8, 20, 26])
def test_a_message_that_is_cut_says_nothing(tmp_path: Path, kept: int) -> None:
    assert told(only(read(written(tmp_path, refused("tcp", 3, kept=kept))))) == []


def test_a_row_of_the_table_names_who_refused(tmp_path: Path) -> None:
    (row,) = csv.DictReader(io.StringIO(table(read(written(tmp_path, refused("udp", 3))))))
    assert [row[name] for name in ("refused [1]", "refused_by", "refused_why")] == ["1", ROUTER, "port unreachable"]


def test_that_fragmentation_is_needed_is_no_refusal(tmp_path: Path) -> None:
    assert told(only(read(written(tmp_path, refused("tcp", 4))))) == []


def test_a_message_that_was_captured_twice_counts_once(tmp_path: Path) -> None:
    asked, said = refused("udp", 3)
    again = (said[0] + 20_000, *said[1:])
    assert told(only(read(written(tmp_path, [asked, said, again])))) == [(ROUTER, "port unreachable", 1)]


def test_in_a_tunnel_and_in_a_vlan(tmp_path: Path) -> None:
    made = refused("udp", 3)
    tunnelled = [(time, vxlan(5, frame), wire + 50) for time, frame, wire in made]
    for packets in (tunnelled, tagged(made, 7, 0)):
        assert told(only(read(written(tmp_path, packets)))) == [(ROUTER, "port unreachable", 1)]


def test_where_the_answer_comes_through_another_network(tmp_path: Path) -> None:
    asked, said = refused("udp", 3)
    made = [*tagged([asked], 7, 0), said]
    assert told(only(read(written(tmp_path, made)))) == [(ROUTER, "port unreachable", 1)]


def test_a_message_about_nothing_in_the_capture_is_of_no_flow(tmp_path: Path) -> None:
    asked, said = refused("udp", 3)
    found = read(written(tmp_path, [said]))
    assert (found.flows, found.totals.not_measured) == ([], {"ICMP, no echo": 1})
    later = read(written(tmp_path, [said, (asked[0] + 10 * MS, *asked[1:])]))
    assert told(only(later)) == [], "what is said before the packet is about another one"


def test_the_connection_that_is_refused_is_the_one_before_the_answer(tmp_path: Path) -> None:
    made = []
    for number, seq in enumerate((1000, 2000, 3000)):
        asked = ip(CLIENT, SERVER, 6, tcp((40000, 80), seq, 0, SYN))
        made.append(packet(100 * number, ethernet(asked)))
        if number != 2:
            made.append(packet(100 * number + 5, ethernet(ip(ROUTER, CLIENT, 1, unreachable(1, asked)))))
    first, second, third = read(written(tmp_path, made)).flows
    assert told(first) == told(second) == [(ROUTER, "host unreachable", 1)]
    assert told(third) == []


def test_a_silence_says_who_refused_what_came_meanwhile(tmp_path: Path) -> None:
    talk = answered(Conversation(stamps=False), 30)
    again = [1, 2, 4, 8]
    for after in again:
        talk.client(320 + 100 * after, 3001, 1, 100)
    about = [frame[14:] for time, frame, _ in talk.packets[-len(again) :]]
    made = list(talk.packets)
    for after, content in zip(again, about, strict=True):
        made.append(packet(320 + 100 * after + 30, ethernet(ip(ROUTER, CLIENT, 1, unreachable(1, content)))))
    for number in range(30):
        talk.server(2000 + 10 * number, 1, 3101)
    found: Qos = read(written(tmp_path, made + talk.packets[-30:]))
    (end,) = [end for end in found.ends if end.address == SERVER]
    (act,) = end.silences[0].acts
    assert [(refusal.by, refusal.why, refusal.count) for refusal in act.refusals] == [(ROUTER, "host unreachable", 4)]
    assert act.refusals[0].first_s == pytest.approx(0.45)


def test_a_reset_and_a_refusal_are_two_things(tmp_path: Path) -> None:
    talk = Conversation()
    talk.client(0, 0, 0, flags=SYN)
    talk.server(1, 0, 1, flags=RST | 16)
    flow = only(read(written(tmp_path, talk.packets)))
    assert flow.initial_rtt.reason == "refused by the peer"
    assert sent_by(flow, CLIENT).refusals == ()


def test_refusals_are_as_tshark_has_them(tmp_path: Path) -> None:
    """The same kinds of message for the same ports."""
    made: list[Packet] = []
    for number in range(60):
        protocol, code = ("tcp", "udp")[number % 2], (0, 1, 3, 9, 10, 13)[number % 6]
        content = tcp((40000 + number, 80), 9, 0, SYN) if protocol == "tcp" else udp((40000 + number, 53), bytes(9))
        asked = ip(CLIENT, SERVER, PROTOCOLS[protocol], content)
        made.append(packet(20 * number, ethernet(asked)))
        for again in range(number % 3):
            made.append(packet(20 * number + 1 + 5 * again, ethernet(ip(ROUTER, CLIENT, 1, unreachable(code, asked)))))
    path = written(tmp_path, made)
    argv = [tshark_program(), "-r", str(path), "-Y", "icmp.type == 3", "-T", "fields"]
    argv += ["-e", "tcp.srcport", "-e", "udp.srcport"]
    told_ports = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()
    ours = [
        flow.ends[0].rpartition(":")[2]
        for flow in read(path).flows
        for refusal in flow.directions[0].refusals
        for _ in range(refusal.count)
    ]
    assert sorted(ours) == sorted(told_ports)
    assert len(ours) == 60
