"""How much is read at once makes no difference."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captures import Packet, ethernet, ip, rtp, udp
from talks import ACK, CLIENT, FIN, MS, RST, SERVER, SYN, Conversation, packet, ping, read, written

Step = tuple[int, bool, int, int, int, int, int, int]
STEPS = st.lists(
    st.tuples(
        st.integers(0, 5),  # flow
        st.booleans(),  # side
        st.integers(0, 40),  # segment
        st.sampled_from([0, 100]),  # length
        st.integers(0, 40),  # acknowledged segment
        st.sampled_from([ACK, ACK, ACK, ACK, SYN, SYN | ACK, FIN | ACK, RST]),
        st.integers(-2_000_000, 30_000_000),  # ns since the one before
        st.sampled_from([0] * 8 + [10**9, 2 * 10**9, 3 * 10**9]),  # how far the numbers are astray
    ),
    min_size=1,
    max_size=120,
)


def compared(folders: pytest.TempPathFactory, made: list[Step], parts: int) -> None:
    talks = [Conversation(port=40000 + number) for number in range(6)]
    now = 0.0
    packets: list[Packet] = []
    for flow, side, seq, length, ack, flags, since, astray in made:
        now += since / MS
        talk = talks[flow]
        stamps = (round(abs(now)) + 9, round(abs(now)) + 6) if flow % 2 else None
        (talk.client if side else talk.server)(now, 100 * seq + astray, 100 * ack + astray, length, flags, stamps)
        packets.append(talk.packets[-1])
        if length:
            packets.append(ping(now, 8 * side, seq % 3))
            content = rtp(len(packets), 160 * len(packets), kind=96)
            packets.append(packet(now, ethernet(ip(CLIENT, SERVER, 17, udp((5004, 5004), content)))))
    read(written(folders.mktemp("batches"), packets, by_time=False), most_parts=parts)


@settings(max_examples=12)
@given(STEPS, st.integers(2, 40))
def test_the_length_of_a_batch_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, made: list[Step], parts: int
) -> None:
    compared(tmp_path_factory, made, parts)


@pytest.mark.soak
@settings(max_examples=2000)
@given(STEPS, st.integers(2, 400))
def test_the_length_of_a_batch_changes_nothing_in_thousands(
    tmp_path_factory: pytest.TempPathFactory, made: list[Step], parts: int
) -> None:
    compared(tmp_path_factory, made, parts)
