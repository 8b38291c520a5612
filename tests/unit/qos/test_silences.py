"""Who was silent when, who moved, what flows did meanwhile, and how it is shown."""

import csv
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from captures import Packet, ethernet, icmp, ip, tcp, udp
from migrascope.cli.qos import qos
from migrascope.model.problem import UsageProblem
from migrascope.qos.examine import Around, examine
from migrascope.qos.result import Qos
from migrascope.qos.text import show
from talks import BASE, CLIENT, SERVER, packet, ping, read, written


def pings(answered: set[int], count: int = 115) -> list[Packet]:
    """A request every 104 ms, of which these are answered after 1 ms."""
    made = []
    for seq in range(count):
        made.append(packet(104 * seq, ethernet(ip(CLIENT, SERVER, 1, icmp(8, 7, seq)))))
        if seq in answered:
            made.append(packet(104 * seq + 1, ethernet(ip(SERVER, CLIENT, 1, icmp(0, 7, seq)))))
    return made


def test_both_gaps_of_a_ping_have_their_begin_length_and_bracket(tmp_path: Path) -> None:
    found = read(written(tmp_path, pings({0, 1, 2, 3, 12, 110, 111, 112, 113, 114})))
    (end,) = found.ends
    assert end.address == SERVER
    assert [silence.length_s for silence in end.silences] == pytest.approx([98 * 0.104, 9 * 0.104])
    assert [silence.start_s for silence in end.silences] == pytest.approx([12 * 0.104 + 0.001, 3 * 0.104 + 0.001])
    assert [silence.low_s for silence in end.silences] == pytest.approx([96 * 0.104, 7 * 0.104])
    (flow,) = found.flows
    assert [len(way.silences) for way in flow.directions] == [0, 2]
    assert flow.directions[1].silences == end.silences
    assert flow.directions[0].counts["lost"] == 105


def test_an_end_is_silent_only_where_all_of_its_flows_are(tmp_path: Path) -> None:
    made = []
    for at in range(0, 10_000, 10):
        for port, away in ((1000, (3000, 4000)), (1001, (3000, 8000))):
            if not away[0] <= at < away[1]:
                made.append(packet(at, ethernet(ip(SERVER, CLIENT, 17, udp((port, 6), bytes(at // 10 % 50))))))
    found = read(written(tmp_path, made))
    (end,) = found.ends
    assert [silence.length_s for silence in end.silences] == pytest.approx([1.01])
    assert sorted(way.silences[0].length_s for flow in found.flows for way in flow.directions) == pytest.approx(
        [1.01, 5.01]
    )


def test_who_stays_away_was_silent_at_least_until_the_end(tmp_path: Path) -> None:
    (end,) = read(written(tmp_path, pings(set(range(20)), 100))).ends
    (silence,) = end.silences
    assert silence.open
    assert silence.length_s == pytest.approx(80 * 0.104 - 0.001)


def test_who_never_sent_regularly_was_not_silent(tmp_path: Path) -> None:
    made = [
        packet(1000 * burst + at, ethernet(ip(SERVER, CLIENT, 17, udp((5, 6), bytes(at)))))
        for burst in range(40)
        for at in range(20)
    ]
    assert read(written(tmp_path, made)).ends == []


def test_a_short_ping_of_the_own_address_was_not_silent(tmp_path: Path) -> None:
    own = ("127.0.0.1", "127.0.0.1")
    made = [ping(1000 * seq + late, kind, seq, own) for seq in range(5) for kind, late in ((8, 0), (0, 0.04))]
    assert read(written(tmp_path, made)).ends == []


def test_shorter_silences_are_left_out(tmp_path: Path) -> None:
    path = written(tmp_path, pings(set(range(115)) - set(range(30, 35))))
    assert len(read(path, silence_s=0.5).ends) == 1
    assert read(path, silence_s=1).ends == []


def test_what_flows_did_meanwhile(tmp_path: Path) -> None:
    made = []
    for number in range(100):
        made.append(packet(10 * number, segment(CLIENT, SERVER, (40000, 80), 1 + 100 * number, 1, bytes(100))))
        made.append(packet(10 * number + 5, segment(SERVER, CLIENT, (80, 40000), 1, 101 + 100 * number)))
    for after in (0, 200, 600, 1400, 3000):
        made.append(packet(1000 + after, segment(CLIENT, SERVER, (40000, 80), 10_001, 1, bytes(100))))
    made.append(packet(4300, segment(SERVER, CLIENT, (80, 40000), 1, 0, flags=4)))
    path = written(tmp_path, made)
    found = read(path, around=Around(2 * 10**9, absolute=False))
    (end,) = [end for end in found.ends if end.address == SERVER]
    (act,) = end.silences[0].acts
    assert (end.silences[0].busy, act.sent_again, act.reset) == (1, 4, True)
    assert act.longest_wait_s == pytest.approx(1.6)
    assert found.around is not None
    assert found.around.acts == (act,)
    later = read(path, around=Around(BASE + 60 * 10**9, absolute=True)).around
    assert later is not None
    assert (later.at_s, later.acts) == (60, ())


def segment(
    source: str, target: str, ports: tuple[int, int], seq: int, ack: int, payload: bytes = b"", flags: int = 16
) -> bytes:
    return ethernet(ip(source, target, 6, tcp(ports, seq, ack, flags, payload)))


def shown(folder: Path, capsys: pytest.CaptureFixture[str], **options: str | bool | Path) -> str:
    path = written(folder, pings({0, 1, 2, 3, 12, 110, 111, 112, 113, 114}))
    capsys.readouterr()
    assert qos(path, **options) == 0  # type: ignore[arg-type]
    return capsys.readouterr().out


def test_the_text_says_who_was_silent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "10.0.0.2 was silent for 10.2 s from 1.249 s on (9.98 s at least" in shown(tmp_path, capsys)
    assert "936 ms" not in shown(tmp_path, capsys, silence="2s")
    assert "was silent" not in shown(tmp_path, capsys, around="60s")
    assert "was silent" in shown(tmp_path, capsys, around="2023-11-14T22:13:21Z")


def test_a_terminal_of_80_columns_has_whole_words(tmp_path: Path) -> None:
    found = examine(written(tmp_path, pings({0, 1, 2, 3, 12, 110, 111, 112, 113, 114})))
    narrow, piped = io.StringIO(), io.StringIO()
    show(found, Console(file=narrow, width=80, force_terminal=True, color_system=None))
    show(found, Console(file=piped, width=80))
    assert max(len(line) for line in narrow.getvalue().splitlines()) <= 80
    assert narrow.getvalue().split() == piped.getvalue().split()
    assert "(9.98 s at least; a packet every 104 ms before)" in piped.getvalue()


def test_csv_is_read_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asks, replies = csv.DictReader(io.StringIO(shown(tmp_path, capsys, csv=True)))
    assert (asks["from"], asks["lost [1]"], asks["silence_s [s]"]) == ("10.0.0.1:7", "105", "")
    assert float(replies["silence_s [s]"]) == pytest.approx(10.192)


def test_json_has_silences(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(shown(tmp_path, capsys, json=True))
    assert found["ends"][0]["silences"][0]["length_s"] == pytest.approx(10.192)
    assert found["flows"][0]["directions"][1]["silences"] == found["ends"][0]["silences"]


def test_the_page_is_one_file_without_reference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "page.html"
    shown(tmp_path, capsys, html=path)
    page = path.read_text()
    assert "10.0.0.2 was silent for 10.2 s" in page
    head, _, _ = page.partition("<script")
    assert "http" not in head.replace("http-equiv", "")
    specs = json.loads(page.partition('id="specs">')[2].partition("</script>")[0])
    assert list(specs) == ["silences", "throughput", "delay", "loss"]
    assert all(spec["data"]["values"] for spec in specs.values())
    with pytest.raises(UsageProblem, match="is there already"):
        shown(tmp_path, capsys, html=path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"silence": "soon"}, "--silence"),
        ({"around": "noon"}, "--around"),
        ({"csv": True, "json": True}, "only one of them"),
        ({"html": Path("/nowhere/page.html")}, "cannot be written"),
    ],
)
def test_a_wrong_option_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: dict[str, str | bool | Path], words: str
) -> None:
    with pytest.raises(UsageProblem, match=words):
        shown(tmp_path, capsys, **options)


def test_a_capture_of_nothing_can_be_shown_in_every_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, [])
    found: Qos = read(path, around=Around(0, absolute=False))
    assert found.ends == []
    for options in ({}, {"csv": True}, {"json": True}, {"html": tmp_path / "empty.html"}):
        assert qos(path, **options) == 0
    assert "0 packets" in capsys.readouterr().out
