"""Which interface a capture is made on, what its filter lets through, and which trials have one."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captures import ethernet, ip
from migrascope.model.plan import CapturePlan, Plan
from migrascope.probe.capture import interface_to
from migrascope.probe.ring import filter_program
from migrascope.trial.programs import capture_member

ROUTES = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
external\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
external\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
tenant\t0004000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
gone\t6404000A\t00000000\t0000\t0\t0\t0\tFFFFFFFF\t0\t0\t0
"""


def test_the_interface_is_that_of_the_longest_route() -> None:
    assert interface_to("10.0.4.100", ROUTES) == "tenant"
    assert interface_to("192.0.2.40", ROUTES) == "external"
    assert interface_to("198.51.100.1", ROUTES) == "external"
    with pytest.raises(LookupError, match="no route to"):
        interface_to("10.0.5.1", ROUTES.splitlines()[0])


def accepted(program: bytes, frame: bytes) -> int:
    """How many bytes of a frame the kernel would keep: the few instructions of classic BPF that are used."""
    lines = list(struct.iter_unpack("@HBBI", program))
    place, value = 0, 0
    while True:
        code, yes, no, number = lines[place]
        place += 1
        if code == 0x06:
            return int(number)
        if code in (0x28, 0x20):
            width = 2 if code == 0x28 else 4
            value = int.from_bytes(frame[number : number + width])
        else:
            assert code == 0x15
            place += yes if value == number else no


addresses = st.integers(0, 6).map(lambda last: f"192.0.2.{last}")
addresses_6 = st.builds("fd00::{}:{}".format, st.integers(0, 2), st.integers(0, 2))


@settings(deadline=None)
@given(st.lists(addresses, min_size=1, max_size=4, unique=True), addresses, addresses)
def test_the_filter_takes_what_comes_from_or_goes_to_an_address(wanted: list[str], source: str, target: str) -> None:
    program = filter_program(wanted, 128)
    frame = ethernet(ip(source, target, 6, bytes(20)))
    assert accepted(program, frame) == (128 if source in wanted or target in wanted else 0)
    assert accepted(program, ethernet(frame[14:], 0x0806)) == 0


@settings(deadline=None)
@given(st.lists(addresses | addresses_6, min_size=1, max_size=6, unique=True), addresses_6, addresses_6)
def test_the_filter_takes_ipv6_beside_ipv4(wanted: list[str], source: str, target: str) -> None:
    program = filter_program(wanted, 128)
    frame = ethernet(ip(source, target, 6, bytes(20)), 0x86DD)
    assert accepted(program, frame) == (128 if source in wanted or target in wanted else 0)
    assert accepted(program, ethernet(frame[14:], 0x0800)) == 0
    for address in wanted:
        if ":" not in address:
            assert accepted(program, ethernet(ip("198.51.100.1", address, 6, bytes(20)))) == 128


def test_a_plan_has_no_capture_unless_it_says_so() -> None:
    assert not Plan().capture.enabled
    member = capture_member(None, ["192.0.2.1", "192.0.2.2", "192.0.2.1"], CapturePlan(enabled=True))
    assert member.config == {"addresses": ["192.0.2.1", "192.0.2.2"], "snaplen": 128}
