"""What OVN's databases and switches say of a port is recorded as they say it."""

import asyncio
import json
import sys
from pathlib import Path

import pytest
from recorded import Running, program, rows, until

from migrascope.probe import ovn

PORT = "79c7a817-03ee-43c6-808c-693fb95f1cd1"
OTHER = "50631174-3064-4bcd-8851-55ae407b0688"
BINDING = f'{{"data":[["","new","{PORT}",true]],"headings":["row","action","logical_port","up"]}}'
FLOW = "event=DELETED reason=delete table=0 cookie=0xd314df22 rarp,in_port=20 actions=resubmit(,8)"
VISITED = "192.0.2.15"
ANSWERS = f"event=ADDED table=11 cookie=0x1f arp,metadata=0x5,arp_tpa={VISITED},arp_op=1 actions=set_field:2->arp_op"


def host(folder: Path, **says: str) -> list[str]:
    """The command of a Python in a host whose programs are scripts; says: a shell's words for each of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, script in says.items():
        path = folder / name.replace("_", "-")
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    return ["env", f"PATH={folder}:/usr/bin:/bin", sys.executable]


def with_ovn(folder: Path) -> list[str]:
    """A host with OVN: each monitor says a line of the port and one of another, and goes on."""
    of_other = BINDING.replace(PORT, OTHER)
    database = f"""case "$*" in *" Chassis "*) echo '{{"data":[]}}';; *) echo '{of_other}'; echo '{BINDING}';; esac"""
    others = (FLOW.replace("table=0", "table=43"), ANSWERS.replace(VISITED, f"{VISITED}0"))
    lines = "; ".join(f"echo ' {line}' >&2" for line in (FLOW, *others, ANSWERS))
    flows = f"echo 'OFPST_FLOW_MONITOR reply'; {lines}"
    return host(
        folder,
        ovs_vsctl="""echo '"tcp:10.0.1.11:6642"'""",
        ovsdb_client=f"{database}; exec sleep 60",
        ovs_ofctl=f"{flows}; exec sleep 60",
    )


def record(folder: Path, hosts: dict[str, list[str]], least: dict[str, int]) -> dict[str, list[tuple[str, str]]]:
    """(what, line) of each host, once it has so many rows at least."""

    def seen(name: str) -> list[dict[str, object]]:
        return rows(folder, "ovn", f"ovn-{name}") if (folder / f"ovn@ovn-{name}.jsonl").exists() else []

    async def watch() -> None:
        async with Running(ovn.main, program(folder, hosts=hosts, port=PORT, addresses=[VISITED])):
            await until(lambda: all(len(seen(name)) >= count for name, count in least.items()))

    asyncio.run(watch())
    return {name: sorted((str(row["what"]), str(row["line"])) for row in seen(name)) for name in hosts}


def test_what_is_about_the_port_is_kept_and_the_southbound_database_is_followed_once(tmp_path: Path) -> None:
    hosts = {name: with_ovn(tmp_path / name) for name in ("one", "two")}
    found = record(tmp_path, hosts, {"one": 5, "two": 3})
    flows = [("flow", ANSWERS), ("flow", FLOW)]
    assert found == {
        "one": [("binding", BINDING), ("chassis", '{"data":[]}'), *flows, ("interface", BINDING)],
        "two": [*flows, ("interface", BINDING)],
    }


def test_a_host_without_ovn_has_no_rows_and_ends_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    hosts = {
        "none": host(tmp_path / "none"),
        "agents": host(tmp_path / "agents", ovs_vsctl="true"),
        "broken": ["sh", "-c", "exit 1"],
        "two": with_ovn(tmp_path / "two"),
    }
    found = record(tmp_path, hosts, {"two": 5})
    assert {name: len(lines) for name, lines in found.items()} == {"none": 0, "agents": 0, "broken": 0, "two": 5}
    assert capfd.readouterr().err == "OVN on broken cannot be followed\n"


def test_a_monitor_whose_database_went_away_is_started_again(tmp_path: Path) -> None:
    once = host(tmp_path / "one", ovs_vsctl="echo tcp:x:6642", ovsdb_client=f"echo '{BINDING}'", ovs_ofctl="exit 1")
    found = record(tmp_path, {"one": once}, {"one": 6})
    assert {what for what, _ in found["one"]} == {"binding", "interface", "chassis"}


def test_a_stamp_is_the_host_s_clock_when_the_line_was_read(tmp_path: Path) -> None:
    hosts = {"one": with_ovn(tmp_path / "one")}
    record(tmp_path, hosts, {"one": 4})
    head = json.loads((tmp_path / "ovn@ovn-one.jsonl").read_text().splitlines()[0])
    assert all(abs(int(str(row["wall_ns"])) - head["wall_ns"]) < 60e9 for row in rows(tmp_path, "ovn", "ovn-one"))
