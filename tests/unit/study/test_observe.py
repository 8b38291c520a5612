"""`observe`: what its lines say, the mistakes that it names, its ribbon, a second Ctrl-C."""

import asyncio
import io
import os
import signal
import time
from pathlib import Path

import pytest
from commandline import migrascope
from rich.console import Console

from migrascope.cli.observe import _stop_at_interrupt
from migrascope.cli.ribbon import Ribbons
from migrascope.metrics.sliding import Sliding
from migrascope.model.observation import BackOff, Begin, Blackout, End, OwnLateness, Silent, Target
from migrascope.report.terminal.observed import line, total
from migrascope.study.observation.observe import View
from migrascope.study.observation.signs import Beside

TIME = "2026-03-01T14:03:22.118+01:00"
OF = {"time": TIME, "name": "vm", "address": "192.0.2.1"}


def target(port: int, rate: float = 100) -> Target:
    return Target(name="127.0.0.1", address="127.0.0.1", way="tcp", port=port, rate=rate, why="--port", answers=True)


def test_lines_say_what_happened() -> None:
    blackout = Blackout(
        **OF, seconds=0.2312, bound_s=0.002, low_s=0.2, high_s=0.24, lost=115, late=False, at_least=False
    )
    assert line(blackout, several=False) == "14:03:22.118 blackout 231 ms (±2): 115 probes lost"
    held = blackout.model_copy(update={"late": True, "lost": 1, "bound_s": 0.01})
    assert line(held, several=True) == "14:03:22.118 vm blackout 231 ms (±10): probes held back, 1 probe lost"
    moved = blackout.model_copy(
        update={
            "paused_s": 0.196, "paused_bound_s": 0.001, "network_s": 0.035, "kept": True, "verdict": "moved",
            "why": "its clock stood still (196 ms)",
        }
    )  # fmt: skip
    assert line(moved, several=False) == (
        "14:03:22.118 blackout 231 ms (±2): guest paused 196 ms (±1), network 35 ms; its connection was kept; "
        "moved: its clock stood still (196 ms); 115 probes lost"
    )
    never = blackout.model_copy(update={"at_least": True, "seconds": 12.345})
    assert line(never, several=False) == "14:03:22.118 blackout of at least 12.35 s, not over: 115 probes lost"
    assert line(Silent(**OF, seconds=1.5), several=False) == "14:03:22.118 silent, for 1.50 s so far"
    asked = BackOff(**OF, seconds=10, why="HTTP: status 429")
    assert line(asked, several=True) == (
        "14:03:22.118 vm asks to be left alone (HTTP: status 429): nothing is sent for 10.0 s"
    )
    own = OwnLateness(time=TIME, seconds=0.4)
    assert line(own, several=True).startswith("14:03:22.118 this machine sent nothing for 400 ms:")
    assert "wall clock stepped" in line(own.model_copy(update={"seconds": 0.0}), several=False)
    end = End(
        **OF, sent=100, answered=90, lost=10, loss_ratio=0.1, rtt_s=0.001, rtt_max_s=0.2, blackouts=1,
        blackout_total_s=0.231,
    )  # fmt: skip
    assert line(end, several=True) == (
        "vm (192.0.2.1): 100 probes, 10 % lost, round trip 1.00 ms, 200 ms at most, 1 blackout, 231 ms in all"
    )
    none = end.model_copy(update={"answered": 0})
    assert line(none, several=False) == "vm (192.0.2.1): 100 probes, none answered"


def test_what_will_be_sent_is_said_in_whole() -> None:
    tcp, icmp = target(80, 50), target(80, 10).model_copy(update={"way": "icmp-ping", "port": 0, "why": ""})
    begin = Begin.of(tcp.model_copy(update={"answers": False}), 0)
    assert "127.0.0.1: 50 TCP handshakes a second with port 80" in line(begin, several=False)
    assert "outages are seen from 100 ms on, to ±20.0 ms; it does not answer yet" in line(begin, several=False)
    assert "10 ICMP echo requests a second through the kernel's ping socket" in line(Begin.of(icmp, 0), several=False)
    assert total([tcp, icmp], 90.0).startswith("in all 60 probes a second, ")
    assert total([tcp, icmp], 90.0).endswith("for 1.5min")
    assert total([tcp], None).endswith("until Ctrl-C")
    kept = icmp.model_copy(update={"rate": 7, "clock_port": 80, "clock_rate": 3})
    assert total([kept], None) == (
        "in all 10 probes a second, 3 of them on 1 kept TCP connection, 5.98 kbit/s, until Ctrl-C"
    )
    asked = icmp.model_copy(update={"rate": 9, "boot_url": "http://vm/"})
    assert "in all 10 probes a second, 1 of them for a boot id, " in total([asked], None)
    assert total([kept.model_copy(update={"boot_url": "x"})], None).startswith("in all 11 probes a second, ")
    assert "3 of them on 1 kept TCP connection and 1 for a boot id" in total(
        [kept.model_copy(update={"boot_url": "x"})], None
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "observe wants an address at least"),
        (["127.0.0.1", "--rate", "0"], "--rate: more than 0 and at most 2000"),
        (["127.0.0.1", "--rate", "2001"], "--rate: more than 0 and at most 2000"),
        (["127.0.0.1", "--rate", "nan"], "--rate: more than 0 and at most 2000"),
        (["127.0.0.1", "--port", "65536"], "--port: 1 to 65535"),
        (["127.0.0.1", "--for", "ever"], "--for: 'ever' is not a duration"),
        (["127.0.0.1", "--for", "0s"], "--for: more than 0 s"),
        (["127.0.0.1", "--plain", "--json"], "only one of them"),
        (["no such host"], "'no such host' is neither an address nor a known name"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, arguments: list[str], words: str) -> None:
    ended = migrascope("observe", *arguments, folder=tmp_path)
    assert ended.code == 2
    assert words in ended.stderr
    assert ended.stdout == ""


def test_a_port_that_is_closed_is_no_observation(tmp_path: Path) -> None:
    ended = migrascope("observe", "127.0.0.1", "--port", "1", folder=tmp_path)
    assert ended.code == 4
    assert "127.0.0.1: port 1 is closed\n  next: --port" in ended.stderr


@pytest.mark.parametrize(("encoding", "marks"), [("utf-8", " ▁▄█"), ("ascii", " .oX")])
def test_the_ribbon_of_an_address_shows_answered_late_and_lost(encoding: str, marks: str) -> None:
    now, second = time.monotonic_ns(), 10**9
    window = Sliding(10, 0.5)
    sent = [(at, now - 30 * second + at * second // 10) for at in range(290)]
    replies = [(seq, at + second // (1 if 100 <= seq < 110 else 1000)) for seq, at in sent if not 50 <= seq < 60]
    window.add(sent, replies)
    view = View(target(80), window, Beside(""), heard=True)
    written = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=written, width=120, force_terminal=True, color_system=None, legacy_windows=False)
    with Ribbons(console) as ribbons:
        ribbons.show([view])
    written.flush()
    written.buffer.seek(0)
    shown = written.buffer.read().decode(encoding)
    row = next(text for text in shown.splitlines() if "127.0.0.1" in text)
    assert all(mark in row for mark in marks)
    assert "3.45 % lost" in row
    assert "1.00 ms" in row


async def test_a_second_ctrl_c_ends_it_at_once() -> None:
    async def observed() -> None:
        stop = _stop_at_interrupt()
        os.kill(os.getpid(), signal.SIGINT)
        await stop.wait()
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()

    try:
        async with asyncio.timeout(60):
            with pytest.raises(asyncio.CancelledError):
                await asyncio.create_task(observed())
    finally:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)
