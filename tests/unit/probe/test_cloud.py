"""Where frames went, hosts' journals and Ceph's health: what is kept of what was seen."""

import asyncio
import json
import struct
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from recorded import Running, program, rows, until

from captures import geneve, vxlan
from migrascope.probe import announce, ceph, frames, journal, libvirt

MAC = "fa:16:3e:38:e0:47"
OTHER = "fa:16:3e:00:00:01"
SERVER, PORT = "8627849f-cd98-467e-ba2d-9e84faee837c", "89f921b8-1eff-4608-a9ab-0852e3b338a3"
REQUEST = "req-ffb57fbe-6648-41f4-9d7a-433e8fe2c05b"
MS = 1_000_000


def frame(to: str, sender: str, kind: int, body: bytes = b"", *, vlan: bool = False) -> bytes:
    tag = bytes.fromhex("8100006e") if vlan else b""
    addresses = b"".join(bytes.fromhex(mac.replace(":", "")) for mac in (to, sender))
    return addresses + tag + kind.to_bytes(2, "big") + body


def arp(sender: bytes, target: bytes) -> bytes:
    return bytes(8) + bytes(6) + sender + bytes(6) + target


def icmp6(kind: int, flags: bytes = bytes(4), *, sender: bytes = b"\xfd" * 16, options: bytes = b"") -> bytes:
    """An IPv6 packet with a message of ICMPv6, behind a hop-by-hop header where it has options."""
    following = 0 if options else 58
    return (
        bytes(6) + bytes([following, 255]) + sender + bytes(16) + options + bytes([kind]) + bytes(3) + flags + bytes(20)
    )


def run_filter(code: bytes, data: bytes) -> int:
    """What a classic BPF program of loads, comparisons and returns gives for a frame."""
    lines = list(struct.iter_unpack("@HBBI", code))
    at = accumulator = 0
    while True:
        what, true, false, value = lines[at]
        at += 1
        if what == 0x06:
            return int(value)
        if what in (0x15, 0x35):
            at += true if accumulator == value or (what == 0x35 and accumulator > value) else false
        else:
            loaded = data[value : value + (size := {0x20: 4, 0x28: 2, 0x30: 1}[what])]
            if len(loaded) < size:
                return 0
            accumulator = int.from_bytes(loaded, "big")


@pytest.mark.parametrize(
    ("to", "sender", "taken"),
    [
        (MAC, OTHER, True),
        (OTHER, MAC, True),
        ("ff:ff:ff:ff:ff:ff", MAC, True),
        ("ff:ff:ff:ff:ff:ff", OTHER, False),
        (MAC[:-2] + "48", OTHER, False),
        ("fb" + MAC[2:], "fb" + MAC[2:], False),
    ],
)
def test_the_filter_takes_what_is_from_or_to_the_instance(to: str, sender: str, taken: bool) -> None:
    mine = frame(to, sender, 0x0800)
    for each in (mine, vxlan(5, mine), geneve(5, mine, options=0), geneve(5, mine, options=2)):
        assert bool(run_filter(announce.mac_filter(MAC), each.ljust(100, b"\0"))) == taken


@pytest.mark.parametrize(("kind", "taken"), [(134, True), (133, False), (136, False), (128, False)])
def test_the_filter_takes_what_a_router_advertises_to_all(kind: int, taken: bool) -> None:
    said = frame("33:33:00:00:00:01", OTHER, 0x86DD, icmp6(kind)) + bytes(100)
    assert bool(run_filter(announce.mac_filter(MAC), said)) == taken


@pytest.mark.parametrize("vlan", [False, True])
@pytest.mark.parametrize(
    ("kind", "body", "name"),
    [
        (0x8035, bytes(28), "rarp"),
        (0x0806, arp(b"\x0a\0\0\1", b"\x0a\0\0\1"), "garp"),
        (0x0806, arp(b"\x0a\0\0\1", b"\x0a\0\0\2"), "arp"),
        (0x0806, b"\0", "arp"),
        (0x0800, bytes(20), "frame"),
        (0x86DD, icmp6(136, b"\x20\0\0\0"), "na"),
        (0x86DD, icmp6(136, b"\x60\0\0\0"), "nd"),
        (0x86DD, icmp6(135), "nd"),
        (0x86DD, icmp6(135, sender=bytes(16)), "dad"),
        (0x86DD, icmp6(133), "rs"),
        (0x86DD, icmp6(134), "ra"),
        (0x86DD, icmp6(143, options=bytes.fromhex("3a00050200000100")), "mld"),
        (0x86DD, icmp6(128), "frame6"),
        (0x86DD, icmp6(135)[:41], "frame6"),
        (0x86DD, bytes(40), "frame6"),
        (0x86DD, b"", "frame6"),
    ],
)
def test_frames_are_told_apart(kind: int, body: bytes, name: str, vlan: bool) -> None:
    seen = frame(OTHER, MAC, kind, body, vlan=vlan)
    assert announce.kind_of(seen) == name
    for each in (seen, vxlan(5, seen), geneve(5, seen, options=0), geneve(5, seen, options=2)):
        assert announce.innermost(each) == seen
    at_port = run_filter(announce.link_filter(), seen + bytes(60)) if not vlan and len(body) > 41 else None
    assert at_port in (None, announce._SNAPLEN if not name.startswith("frame") else 0)


FLOATING, GATEWAY = bytes((192, 0, 2, 150)), bytes((192, 0, 2, 1))


@pytest.mark.parametrize(
    ("sender", "target", "taken"),
    [(FLOATING, FLOATING, True), (GATEWAY, FLOATING, True), (FLOATING, GATEWAY, True), (GATEWAY, GATEWAY, False)],
)
def test_on_the_external_network_packets_of_the_addresses_and_arp_about_them_are_followed(
    sender: bytes, target: bytes, taken: bool
) -> None:
    others = ["192.0.2.77", "fd00::f816"]
    for addresses in (["192.0.2.150", *others], [*others, "192.0.2.150"]):
        code = announce.router_filter(addresses)
        for kind, body in ((0x0806, arp(sender, target)), (0x0800, bytes(12) + sender + target)):
            assert bool(run_filter(code, frame(OTHER, MAC, kind, body).ljust(100, b"\0"))) == taken
    code = announce.router_filter(["fd00::f816"])
    assert run_filter(code, frame(OTHER, MAC, 0x0806, arp(sender, target)).ljust(100, b"\0")) == 0
    assert run_filter(code, frame(OTHER, MAC, 0x86DD, bytes(8) + ip_address("fd00::f816").packed).ljust(100, b"\0"))


def test_at_a_port_of_the_switch_its_own_direction_counts(tmp_path: Path) -> None:
    running = program(tmp_path)
    with running.spool("announce") as spool:
        watch = announce.Watch(MAC, {"a": ("host-a", "port"), "b": ("host-b", "port")}, spool)
        advertisement = frame("33:33:00:00:00:01", MAC, 0x86DD, icmp6(136, b"\x20\0\0\0"))
        watch.take("b", 0, advertisement, sent=False)
        watch.take("a", 1, advertisement, sent=True)
        watch.write(10**12)
    seen = [(row["node"], row["way"], row["kind"]) for row in rows(tmp_path, "announce")]
    assert seen == [("host-b", "from", "na"), ("host-a", "to", "na")]


def test_frames_without_a_silence_are_one_row(tmp_path: Path) -> None:
    running = program(tmp_path)
    with running.spool("announce") as spool:
        watch = announce.Watch(MAC, {"tap1": ("compute", "tap"), "ext": ("controller", "router")}, spool)
        for at in (0, 19, 38, 58, 60):
            watch.take("tap1", at * MS, frame(MAC, OTHER, 0x0800), sent=True)
        watch.take("tap1", 30 * MS, frame("ff:ff:ff:ff:ff:ff", MAC, 0x8035), sent=False)
        watch.take("ext", 31 * MS, frame(OTHER, OTHER, 0x0800), sent=False)
        watch.write(31 * MS)
        watch.write(10**12)
    seen = rows(tmp_path, "announce")
    assert [tuple(row.values()) for row in seen] == [
        (0, 38 * MS, "compute", "tap", "to", "frame", 3),
        (30 * MS, 30 * MS, "compute", "tap", "from", "rarp", 1),
        (58 * MS, 60 * MS, "compute", "tap", "to", "frame", 2),
        (31 * MS, 31 * MS, "controller", "router", "from", "frame", 1),
    ]


def test_a_tap_that_never_comes_is_no_error(tmp_path: Path) -> None:
    async def watch() -> None:
        running = program(tmp_path, mac=MAC, ports={"no-such-tap": "compute"}, interval_s=0.01)
        async with Running(frames.main, running):
            await asyncio.sleep(0.05)

    asyncio.run(watch())
    assert rows(tmp_path, "frame") == []


def line(unit: str, message: str, at_us: int = 1_000_000) -> str:
    return json.dumps({"__REALTIME_TIMESTAMP": str(at_us), "_SYSTEMD_UNIT": f"{unit}.service", "MESSAGE": message})


def test_a_journal_is_read_without_the_services_own_stamps() -> None:
    said = "2026-11-23 06:10:19.056 2624 INFO nova.compute [x] Took 8.55 seconds"
    text = line("nova-compute", said, 1_795_414_219_056_789)
    binary = json.dumps({"__REALTIME_TIMESTAMP": "1", "MESSAGE": [1, 2]})
    found = list(journal.lines(f"{text}\n{binary}\n"))
    assert found == [(1_795_414_219_056_789_000, "nova-compute", "INFO nova.compute [x] Took 8.55 seconds")]


def test_a_line_s_stamp_is_that_of_its_sending_where_the_journal_has_it() -> None:
    """As OVN's came into the journal of a busy node: 4.7 ms after ovn-controller had sent it."""
    row = {
        "__REALTIME_TIMESTAMP": "1795966483988817", "_SOURCE_REALTIME_TIMESTAMP": "1795966483984152",
        "_SYSTEMD_UNIT": "ovn-controller.service", "MESSAGE": "ovs|00131|binding|INFO|Claiming lport x",
    }  # fmt: skip
    found = list(journal.lines(json.dumps(row)))
    assert found == [(1_795_966_483_984_152_000, "ovn-controller", "ovs|00131|binding|INFO|Claiming lport x")]


def test_what_belongs_to_the_instance_is_kept() -> None:
    found = [
        (1, "nova-api", f'[{REQUEST}] "POST /v2.1/servers/{SERVER}/action" status: 202'),
        (2, "nova-api", f'[req-00000000-0000-0000-0000-000000000000] "GET /v2.1/servers/{SERVER}" status: 200'),
        (3, "nova-scheduler", f"[{REQUEST}] Host filter only checking host controller"),
        (4, "neutron-openvswitch-agent", f"[{REQUEST}] Agent rpc_loop - iteration:7 started"),
        (5, "neutron-openvswitch-agent", "[-] process_network_ports - agent port security group processed in 0.157"),
        (6, "nova-compute", "[req-11111111-1111-1111-1111-111111111111] another instance"),
        (7, "neutron-api", f"PUT /v2.0/ports/{PORT}/bindings/controller/activate"),
    ]
    requests = journal.requests_of(found, [SERVER, PORT])
    assert requests == {REQUEST}
    assert [at for at, _, _ in journal.about(found, [SERVER, PORT], requests)] == [1, 3, 5, 7]


def read_journals(folder: Path, *commands: list[str]) -> list[dict[str, object]]:
    async def read() -> None:
        hosts = {f"host-{at}": command for at, command in enumerate(commands)}
        running = program(folder, hosts=hosts, words=[SERVER])
        async with Running(journal.main, running):
            running.stop(ending=False)
            await until(lambda: len(list(folder.glob("journal@*"))) == len(commands))

    asyncio.run(read())
    return [row for at in range(len(commands)) for row in rows(folder, "journal", f"journal-host-{at}")]


def test_each_hosts_journal_is_read_when_the_trial_drains(tmp_path: Path) -> None:
    said = line("nova-compute", f"INFO [instance: {SERVER}] VM Paused", 5)
    (found,) = read_journals(tmp_path, [sys.executable, "-c", f"print({said!r})"])
    assert found == {"wall_ns": 5000, "unit": "nova-compute", "message": f"INFO [instance: {SERVER}] VM Paused"}


def test_a_host_whose_journal_cannot_be_read_ends_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    said = line("nova-compute", f"[instance: {SERVER}] VM Paused", 5)
    found = read_journals(
        tmp_path, ["sh", "-c", "echo no such journal >&2; exit 1"], [sys.executable, "-c", f"print({said!r})"]
    )
    assert len(found) == 1
    assert "the journal of host-0 cannot be read: no such journal" in capfd.readouterr().err


class TestCeph:
    """The probe with a Ceph of its own making."""

    @staticmethod
    def command(folder: Path, answers: str) -> list[str]:
        (folder / "rados.py").write_text(
            "import json\nclass Rados:\n"
            "    def __init__(self, conffile): pass\n"
            "    def connect(self, timeout): pass\n"
            f"    def mon_command(self, command, data, timeout): return {answers}\n",
            encoding="utf-8",
        )
        return ["env", f"PYTHONPATH={folder}", sys.executable]

    def record(self, folder: Path, answers: str) -> list[dict[str, object]]:
        async def watch() -> None:
            python = self.command(folder, answers)
            async with Running(ceph.main, program(folder, python=python, interval_s=0.01)):
                await until(lambda: len(rows(folder, "ceph")) > 2)

        asyncio.run(watch())
        return rows(folder, "ceph")

    def test_health_and_traffic(self, tmp_path: Path) -> None:
        status = {
            "health": {"status": "HEALTH_WARN", "checks": {"OSD_DOWN": {}}},
            "pgmap": {"write_bytes_sec": 4096},
        }
        row = self.record(tmp_path, f"(0, json.dumps({status!r}), '')")[0]
        assert (row["health"], row["checks"], row["read_Bps"], row["write_Bps"]) == ("HEALTH_WARN", "OSD_DOWN", 0, 4096)

    def test_no_answer(self, tmp_path: Path) -> None:
        row = self.record(tmp_path, "(-110, b'', 'timed out')")[0]
        assert (row["health"], row["read_Bps"]) == ("", -1)


class TestWhatGoesAway:
    """A node's program that answers once and ends with its node."""

    def python(self, folder: Path, row: str) -> list[str]:
        stand_in = folder / "python"
        lines = f"echo '[\"ready\"]'; echo '{row}'; printf '[\"cut off'"
        stand_in.write_text(f"#!/bin/sh\n{lines}\n")
        stand_in.chmod(0o755)
        return [str(stand_in)]

    def hosts(self, folder: Path) -> dict[str, Any]:
        python = self.python(folder, '["qmp_status", 1, 2, "query-status", "{}"]')
        return {"hosts": {"one": {"uri": "", "python": python}}, "domain": "d", "interval_s": 0.1}

    def test_libvirt_is_watched_again(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(libvirt, "_AGAIN_S", 0.01)

        def seen() -> list[str]:
            return [str(row["answer"]) for row in rows(tmp_path, "qmp_status", "libvirt-one")]

        async def watch() -> None:
            async with Running(libvirt.main, program(tmp_path, persist=True, **self.hosts(tmp_path))):
                await until(lambda: seen().count("{}") > 2)

        asyncio.run(watch())
        assert seen()[:4] == ["{}", "", "{}", ""]

    def test_or_it_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(libvirt.HostFailed, match="went away"):
            asyncio.run(libvirt.main(program(tmp_path, **self.hosts(tmp_path))))

    def test_ceph_is_asked_again(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ceph, "_AGAIN_S", 0.01)
        config: dict[str, Any] = {"python": self.python(tmp_path, '[1, 2, "HEALTH_OK", "", 0, 0]'), "interval_s": 0.1}

        def seen() -> list[str]:
            return [str(row["health"]) for row in rows(tmp_path, "ceph")]

        async def watch() -> None:
            async with Running(ceph.main, program(tmp_path, persist=True, **config)):
                await until(lambda: seen().count("HEALTH_OK") > 2)

        asyncio.run(watch())
        assert seen()[:3] == ["HEALTH_OK", "", "HEALTH_OK"]
        with pytest.raises(ceph.ClusterFailed, match="went away"):
            asyncio.run(ceph.main(program(tmp_path, **config)))
