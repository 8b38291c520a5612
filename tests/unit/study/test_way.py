"""Which way an address can be probed, tried on loopback."""

import socket
from collections.abc import Iterator

import pytest

from migrascope.model.observation import FOREIGN_RATE, OWN_RATE, Target
from migrascope.model.problem import Problem, UsageProblem
from migrascope.probe.icmp import EchoSocket
from migrascope.study.observation import way
from migrascope.study.observation.observed import Move, plan_of_move
from migrascope.study.observation.way import ONE_IS_KEPT, clocked, fitted, target_of


@pytest.fixture
def listener() -> Iterator[int]:
    """A TCP port that is open."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def echo_permitted() -> bool:
    try:
        EchoSocket("127.0.0.1").close()
    except PermissionError:
        return False
    return True


def no_icmp(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(address: str) -> EchoSocket:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(way, "EchoSocket", refused)


async def test_icmp_goes_before_tcp() -> None:
    if not echo_permitted():
        pytest.skip("neither raw nor ping sockets are allowed here")
    target = await target_of("localhost", None, None)
    assert target.way in ("icmp-raw", "icmp-ping")
    assert (target.name, target.port, target.rate, target.why, target.answers) == ("localhost", 0, OWN_RATE, "", True)


async def test_without_a_right_to_icmp_it_is_a_tcp_port_that_is_open(
    monkeypatch: pytest.MonkeyPatch, listener: int
) -> None:
    no_icmp(monkeypatch)
    monkeypatch.setattr(way, "PORTS", (1, listener))
    target = await target_of("127.0.0.1", None, None)
    assert (target.way, target.port, target.answers) == ("tcp", listener, True)
    assert "ICMP" in target.why


async def test_without_a_way_it_says_why_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    no_icmp(monkeypatch)
    monkeypatch.setattr(way, "PORTS", (1,))
    with pytest.raises(Problem, match=r"127\.0\.0\.1: there is no way to observe it(.|\n)*1 closed(.|\n)*next: root"):
        await target_of("127.0.0.1", None, None)


class Forbidden(EchoSocket):
    """A socket to which a router says that it is administratively prohibited, at its second request."""

    def prohibited(self) -> bool:
        return len(SENT) >= 2

    def receive(self, most: int) -> list[tuple[int, int, int]]:
        return []

    def send(self, packet: bytes) -> int:
        SENT.append(packet)
        return 0


SENT: list[bytes] = []


@pytest.fixture
def forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    if not echo_permitted():
        pytest.skip("neither raw nor ping sockets are allowed here")
    SENT.clear()
    monkeypatch.setattr(way, "EchoSocket", Forbidden)


async def test_who_forbids_it_while_the_way_is_chosen_is_heeded(
    forbidden: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> list[str]:
        pytest.fail("its ports are asked, too")

    monkeypatch.setattr(way, "_ports", never)
    target = await target_of("127.0.0.1", None, None)
    assert (target.port, target.answers, target.prohibited) == (0, False, True)
    assert len(SENT) == 2
    (clocked_one,) = await clocked([target])
    assert clocked_one.clock_port == 0


async def test_a_command_is_not_run_where_its_machine_may_not_be_asked(forbidden: None) -> None:
    move = Move(["true"], 1, 0.0, "", 1.0, False)
    with pytest.raises(Problem, match=r"127\.0\.0\.1: asks to be left alone \(ICMP: administratively prohibited\)"):
        await plan_of_move("127.0.0.1", "", None, None, move)


async def test_a_port_that_is_asked_for_is_taken(listener: int) -> None:
    target = await target_of("127.0.0.1", listener, 7)
    assert (target.way, target.port, target.rate, target.answers) == ("tcp", listener, 7, True)


async def test_a_port_that_is_closed_is_named() -> None:
    with pytest.raises(Problem, match=r"127\.0\.0\.1: port 1 is closed\n  next: --port"):
        await target_of("127.0.0.1", 1, None)


@pytest.mark.parametrize("name", ["10.0.0.256", "no such host", "", "a" * 300, "ä" * 80, "-v"])
async def test_what_is_no_address_and_no_name_is_named(name: str) -> None:
    with pytest.raises(UsageProblem, match="is neither an address nor a known name"):
        await target_of(name, None, None)


@pytest.mark.parametrize("address", ["224.0.0.1", "0.0.0.0", "255.255.255.255", "ff02::1", "::"])
async def test_what_is_not_one_machine_is_refused(address: str) -> None:
    with pytest.raises(UsageProblem, match="is not the address of one machine"):
        await target_of(address, None, None)


@pytest.mark.parametrize(
    ("address", "rate"),
    [
        ("127.0.0.1", OWN_RATE), ("10.1.2.3", OWN_RATE), ("172.31.0.1", OWN_RATE), ("192.168.7.7", OWN_RATE),
        ("169.254.1.1", OWN_RATE), ("::1", OWN_RATE), ("fe80::1%lo", OWN_RATE), ("fd00::1", OWN_RATE),
        ("8.8.8.8", FOREIGN_RATE), ("172.32.0.1", FOREIGN_RATE), ("100.64.0.1", FOREIGN_RATE),
        ("2001:db8::1", FOREIGN_RATE),
    ],
)  # fmt: skip
def test_public_addresses_are_asked_less_often(address: str, rate: float) -> None:
    assert way.default_rate(address) == rate


def at(address: str, **given: object) -> Target:
    fields = {"name": "vm", "address": address, "way": "icmp-ping", "port": 0, "rate": 10, "why": "", "answers": True}
    return Target.model_validate(fields | given)


@pytest.mark.parametrize(
    ("given", "rate"),
    [
        ({}, 10),
        ({"clock_port": 80, "clock_rate": 3}, 7),
        ({"clock_port": 80, "clock_rate": 3, "boot_url": "http://vm/"}, 6),
        ({"clock_port": 80, "clock_rate": 20}, 1),
    ],
)
def test_a_public_address_gets_no_more_in_all(given: dict[str, object], rate: float) -> None:
    page = at("8.8.8.8", way="http", rate=2)
    alone, private = fitted([at("8.8.4.4", **given), at("10.0.0.1", rate=50, clock_port=80, clock_rate=50)])
    assert (alone.rate, private.rate) == (rate, OWN_RATE)
    beside, visited = fitted([at("8.8.8.8", **given), page])
    assert (beside.rate, visited.rate) == (max(1, rate - 2), 2)


async def test_one_connection_is_kept_to_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(way, "refusal", lambda _: None)
    first, page, other = await clocked(
        [at("8.8.8.8", port=80, way="tcp"), at("8.8.8.8", name="http://vm/", way="http"), at("8.8.4.4", port=22)]
    )
    assert (first.clock_port, first.clock_rate, first.clock_unseen) == (80, 3, "")
    assert (page.clock_port, page.clock_rate, page.clock_unseen) == (0, 0, ONE_IS_KEPT)
    assert other.clock_port == 22
