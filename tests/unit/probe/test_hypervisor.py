"""The QMP, link, machine and liveness probes against a scripted QEMU, this machine's /proc and a scripted agent."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import cast

import pytest
from recorded import Row, Running, program, rows, until

from migrascope.node.program import Program
from migrascope.probe import frames, link, liveness, machine, qmp, stress
from migrascope.workload import sink

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
NET_DEV = """Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16
a-migration:18446744073709551615 7 0 2 0 0 0 0 55 6 0 3 0 0 0 0
"""  # noqa: E501


class Qemu:
    """A monitor that greets, answers query-* and raises an event; told to, it hangs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.hangs = False
        self._writers: list[asyncio.StreamWriter] = []

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        with suppress(asyncio.IncompleteReadError):
            await self._answer(reader, writer)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._say(writer, {"QMP": {"version": {}, "capabilities": []}})
        while text := await reader.readuntil(b"}"):
            while text.count(b"{") > text.count(b"}"):
                text += await reader.readuntil(b"}")
            asked = json.loads(text)
            if self.hangs:
                continue
            answer = {"status": "running"} if asked["execute"].startswith("query") else {}
            self._say(writer, {"return": answer} | {key: asked[key] for key in ("id",) if key in asked})

    @staticmethod
    def _say(writer: asyncio.StreamWriter, message: object) -> None:
        writer.write(json.dumps(message).encode() + b"\n")

    def raise_event(self) -> None:
        stamp = {"seconds": 12, "microseconds": 345678}
        self._say(self._writers[-1], {"event": "STOP", "timestamp": stamp})

    async def __aenter__(self) -> "Qemu":
        self._server = await asyncio.start_unix_server(self._serve, self.path)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()


async def test_qmp_survives_a_qemu_that_dies_and_goes_on_with_the_other(tmp_path: Path) -> None:
    sockets = {host: str(tmp_path / host) for host in ("host-a", "host-b")}
    async with (
        Qemu(tmp_path / "host-a") as a,
        Qemu(tmp_path / "host-b"),
        Running(qmp.main, program(tmp_path, "qmp", hosts=sockets, interval_s=0.02)),
    ):

        def asked(host: str) -> list[Row]:
            return rows(tmp_path, "qmp_status", f"qmp-{host}")

        await until(lambda: len(asked("host-a")) >= 4)
        a.raise_event()
        await until(lambda: rows(tmp_path, "qmp_event", "qmp-host-a"))
        await a.__aexit__()
        a.path.unlink(missing_ok=True)
        await until(lambda: asked("host-a")[-1]["answer"] == "")
        there = len(asked("host-b"))
        await until(lambda: len(asked("host-b")) > there + 4)
        async with Qemu(tmp_path / "host-a"):
            await until(lambda: asked("host-a")[-1]["answer"] != "")
        assert {row["command"] for row in asked("host-b")} == set(qmp.COMMANDS)
        assert all(row["answered_ns"] > row["asked_ns"] for row in asked("host-b"))
    event = rows(tmp_path, "qmp_event", "qmp-host-a")[0]
    assert (event["event"], event["event_wall_ns"], event["data"]) == ("STOP", 12_345_678_000, "{}")
    header = json.loads((tmp_path / "qmp_event@qmp-host-a.jsonl").read_text().split("\n")[0])
    assert header["host"] == "host-a"


async def test_qmp_records_an_empty_answer_when_the_monitor_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qmp, "TIMEOUT_S", 0.05)
    async with (
        Qemu(tmp_path / "host-a") as a,
        Running(qmp.main, program(tmp_path, "qmp", hosts={"host-a": str(a.path)}, interval_s=0.02)),
    ):

        def asked() -> list[Row]:
            return rows(tmp_path, "qmp_status", "qmp-host-a")

        await until(asked)
        a.hangs = True
        await until(lambda: asked()[-1]["answer"] == "")
        assert asked()[-1]["answered_ns"] == 0
        a.hangs = False
        await until(lambda: asked()[-1]["answer"] != "")


def test_counters_of_proc_net_dev() -> None:
    found = link.counters(NET_DEV)
    assert found["lo"] == link.Counters(1, 2, 9, 10, 4 + 12)
    assert found["a-migration"] == link.Counters(18446744073709551615, 7, 55, 6, 5)


async def test_link_sees_the_port_from_the_nodes_side(tmp_path: Path) -> None:
    ports = {"lo": ["management", "host-a"], "gone": ["storage", "host-b"]}
    async with Running(link.main, program(tmp_path, ports=ports, interval_s=0.01)):
        await until(lambda: len(rows(tmp_path, "link")) >= 3)
    recorded = rows(tmp_path, "link")
    assert {(row["link"], row["node"]) for row in recorded} == {("management", "host-a")}
    assert [row["mono_ns"] for row in recorded] == sorted(row["mono_ns"] for row in recorded)
    assert recorded[0]["to_node_bytes"] == recorded[0]["from_node_bytes"], "on lo all that is sent is received"
    assert {row["ifindex"] for row in recorded} == {socket.if_nametoindex("lo")}


async def test_a_port_that_is_made_anew_while_it_is_read_has_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = iter([{"lo": 1}, {"lo": 7}])
    monkeypatch.setattr(link, "indices", lambda: next(numbers, {"lo": 7}))
    async with Running(link.main, program(tmp_path, ports={"lo": ["management", "host-a"]}, interval_s=0.01)):
        await until(lambda: rows(tmp_path, "link"))
    assert {row["ifindex"] for row in rows(tmp_path, "link")} == {7}


def test_cpu_times_counts_a_guest_once() -> None:
    hertz = os.sysconf("SC_CLK_TCK")
    stat = "cpu  100 20 3 1000 500 4 5 60 90 10\ncpu0 0 0 0 0 0 0 0 0 0 0\n"
    assert machine.cpu_times(stat) == (132 / hertz, 60 / hertz)


def test_pressure_is_minus_one_where_the_kernel_has_none(tmp_path: Path) -> None:
    assert machine.pressure_us(tmp_path / "cpu") == -1
    (tmp_path / "io").write_text("some avg10=0.00 avg60=0.00 avg300=0.00 total=4711\nfull total=5\n")
    assert machine.pressure_us(tmp_path / "io") == 4711


async def test_machine_stops_recording_a_process_that_ended(tmp_path: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "sum(range(10**6)); input()", stdin=subprocess.PIPE
    )
    try:
        config = program(tmp_path, processes={"child": child.pid, "self": os.getpid()}, interval_s=0.01)

        def cpu(name: str) -> list[Row]:
            return [row for row in rows(tmp_path, "process_cpu") if row["process"] == name]

        async with Running(machine.main, config):
            await until(lambda: cpu("child") and cpu("child")[-1]["cpu_s"] > 0)
            assert cpu("child")[-1]["rss_bytes"] > 1_000_000
            child.kill()
            await child.wait()
            there = len(cpu("self"))
            await until(lambda: len(cpu("self")) >= there + 10)
            assert cpu("child")[-1]["mono_ns"] < cpu("self")[-5]["mono_ns"]
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert len(rows(tmp_path, "clock")) > 2
    last = rows(tmp_path, "machine")[-1]
    assert last["busy_s"] > 0
    assert last["available_bytes"] > 0


@asynccontextmanager
async def agent(handler: Handler) -> AsyncIterator[str]:
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


class Alive(asyncio.DatagramProtocol):
    """An agent of datagrams. reply: what it answers to a request, in so many datagrams."""

    def __init__(self, reply: Callable[[bytes], list[bytes]]) -> None:
        self.reply = reply

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        for answer in self.reply(data):
            self.transport.sendto(answer, addr)


@asynccontextmanager
async def alive(reply: Callable[[bytes], list[bytes]]) -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: Alive(reply), local_addr=("127.0.0.1", 0))
    try:
        yield int(transport.get_extra_info("sockname")[1])
    finally:
        transport.close()


def asking(folder: Path, port: int, name: str = "test") -> Program:
    return program(folder, name, address="127.0.0.1", port=port, interval_s=0.01)


async def test_liveness_goes_on_while_a_request_is_lost(tmp_path: Path) -> None:
    seen: list[bytes] = []

    def reply(request: bytes) -> list[bytes]:
        seen.append(request)
        answer = b"%s b %d h" % (request.removeprefix(b"alive "), len(seen))
        return [] if request == b"alive 1" else [answer, answer]

    async with alive(reply) as port, Running(liveness.main, asking(tmp_path, port)):
        await until(lambda: len(rows(tmp_path, "liveness")) >= 5)
    recorded = rows(tmp_path, "liveness")
    answered = [row for row in recorded if row["answered_ns"]]
    assert [row["counter"] for row in answered] == [int(row["request"]) + 1 for row in answered]
    assert len({row["request"] for row in recorded}) == len(recorded)
    assert max(int(row["request"]) for row in answered) > 1
    assert [row for row in answered if row["boot_id"] != "b" or row["answered_ns"] <= row["asked_ns"]] == []
    assert [row["error"] for row in recorded if row["request"] == "1"] == ["no answer before the end"]


async def test_liveness_records_why_there_was_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "TIMEOUT_S", 0.05)
    async with alive(lambda _: [b"status 503"]) as port, Running(liveness.main, asking(tmp_path, port)):
        await until(lambda: rows(tmp_path, "liveness"))
    async with Running(liveness.main, asking(tmp_path, port, "refused")):
        await until(lambda: rows(tmp_path, "liveness", "refused"))
    assert rows(tmp_path, "liveness")[0]["error"] == "not the agent's answer: b'status 503'"
    assert "refused" in rows(tmp_path, "liveness", "refused")[0]["error"]
    assert rows(tmp_path, "liveness", "refused")[0]["answered_ns"] == 0


@pytest.mark.parametrize("datagram", [b"", b"1 b 2", b"1 b x h", b"1 b 2 h more", b"\xff b 2 h"])
def test_other_answers_are_not_the_agents(datagram: bytes) -> None:
    with pytest.raises(ValueError):
        liveness.parse_alive(datagram)


async def test_stress_is_recorded_as_the_agent_says_it(tmp_path: Path) -> None:
    worker = {
        "worker": 1, "work": "kind=cpu", "state": "running", "bytes": 0, "operations": 5, "guest_s": 1.5, "cpu_s": 1.2,
        "reason": "",
    }  # fmt: skip

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"GET /stress ")
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + json.dumps({"workers": [worker]}).encode())
        writer.close()

    async with agent(serve) as url, Running(stress.main, program(tmp_path, url=url, interval_s=0.01)):
        await until(lambda: len(rows(tmp_path, "stress")) >= 2)
    recorded = rows(tmp_path, "stress")[0]
    assert recorded["answered_ns"] > recorded["asked_ns"]
    assert {key: value for key, value in recorded.items() if not key.endswith("_ns")} == worker


async def test_the_sink_counts_what_comes(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    async with Running(sink.main, program(tmp_path, address="127.0.0.1", port=port)):
        await until(lambda: rows(tmp_path, "sink"))
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(bytes(100_000))
        writer.close()
        await until(lambda: rows(tmp_path, "sink")[-1]["bytes"] == 100_000)


def test_the_frame_filter_is_classic_bpf() -> None:
    code = frames.source_filter("52:54:00:6d:73:01")
    assert len(code) == 6 * 8
    assert (0x5254006D).to_bytes(4, sys.byteorder) in code
