"""The origin's web server: what its configuration may hold, as whom it runs, and what it can read."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from migrascope.cli.main import app
from migrascope.model.plan import CloudPlan
from migrascope.model.problem import Problem
from migrascope.node.nobody import LISTEN, USER, as_nobody, while_we_live
from migrascope.node.process import ONLY, Where
from migrascope.trial.origin import origin, taken
from migrascope.workload.live import LoopSegment, Publisher
from migrascope.workload.origin import nginx_config
from needs import need

NO_ADDRESSES = [
    "0.0.0.0",
    "127.0.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "203.0.113.7; include /etc/shadow",
    "203.0.113.7;\nuser root",
    "203.0.113.7\n",
    " 203.0.113.7",
    "203.0.113.7 ms.address=dhcp",
    "203.0.113.07",
    "203.0.113.7:8080",
    "203.0.113",
    "３.3.3.3",
    "unix:/run/x",
    "*",
    "example.org",
    "$host",
]


def test_its_configuration_names_one_address_and_no_path_but_its_folder_and_tmp() -> None:
    text = nginx_config("/srv", "192.0.2.40")
    assert re.findall(r"listen (.*)", text) == ["192.0.2.40:80;"]
    assert text.count("{") == text.count("}")
    paths = [word.rstrip(";") for line in text.splitlines() for word in line.split() if word.startswith("/")]
    assert {path.split("/")[1] for path in paths} == {"srv", "tmp"}
    assert not re.search(r"^\s*(user|include|load_module|proxy_pass|autoindex)\b", text, re.MULTILINE)


def test_who_may_ask_is_named_and_all_others_are_refused() -> None:
    rules = re.compile(r"^ *(allow|deny) (.*);$", re.MULTILINE)
    guarded = nginx_config("/srv", "192.0.2.40", 18080, ["192.0.2.50", "192.0.2.40"])
    assert rules.findall(guarded) == [("allow", "192.0.2.50"), ("allow", "192.0.2.40"), ("deny", "all")]
    assert re.findall(r"listen (.*)", guarded) == ["192.0.2.40:18080;"]
    assert rules.findall(nginx_config("/srv", "192.0.2.40")) == []
    with pytest.raises(ValueError, match="all"):
        nginx_config("/srv", "192.0.2.40", only=["all"])


def test_a_port_that_is_taken_is_known_beforehand() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert taken("127.0.0.1", port) == f"127.0.0.1:{port}: Address already in use"
    assert taken("127.0.0.1", port) is None
    assert "Cannot assign requested address" in (taken("192.0.2.40", port) or "")


async def test_nothing_is_begun_where_something_else_listens(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(Problem, match=rf"Address already in use\n  next: ss -ltnp 'sport = :{port}'"):
            async with origin(None, "127.0.0.1", tmp_path, tmp_path, tmp_path / "origin", port=port):
                pytest.fail("something else listens there")
    assert not (tmp_path / "origin").exists()


@pytest.mark.parametrize("address", [*NO_ADDRESSES[4:], ""])
def test_nothing_but_an_address_gets_into_its_configuration(address: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        nginx_config("/srv", address)


@pytest.mark.parametrize("port", [0, -1, 2**16])
def test_no_port(port: int) -> None:
    with pytest.raises(ValueError, match="is no port"):
        nginx_config("/srv", "192.0.2.40", port)


@pytest.mark.parametrize("address", NO_ADDRESSES)
def test_a_plan_states_an_address_at_which_others_reach_this_machine(address: str) -> None:
    with pytest.raises(ValidationError, match="origin"):
        CloudPlan(origin=address)


def test_a_plan_may_state_none() -> None:
    assert CloudPlan().origin == ""
    assert CloudPlan(origin="203.0.113.7").origin == "203.0.113.7"


def test_the_plan_says_where_others_reach_this_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "plan.toml"
    file.write_text('[lab]\nkind = "openstack"\n[cloud]\nname = "x"\norigin = "203.0.113.7"\n')
    assert app(["plan", str(file)], result_action="return_value") == 0
    assert "203.0.113.7:80 (the live stream, by nginx as nobody, for all who reach" in capsys.readouterr().out
    assert app(["plan", "website"], result_action="return_value") == 0
    assert "listens" not in capsys.readouterr().out


def test_it_sees_its_own_folder_only() -> None:
    command = Where(None, Path("/image"), Path("/labs/ms00000a/origin")).command(["nginx"])
    assert '"folders": {"/labs/ms00000a/origin": "' + ONLY + '"}' in command[-1]


def test_nobody_is_not_root_and_can_only_listen() -> None:
    """With its capabilities, as the kernel says them, and the promise that it dies with its parent."""
    need(os.geteuid() == 0, "root")
    code = "import ctypes, pathlib; signal = ctypes.c_int(); ctypes.CDLL(None).prctl(2, ctypes.byref(signal)); "
    code += "print(pathlib.Path('/proc/self/status').read_text(), 'Deathsig:', signal.value)"
    argv = as_nobody([sys.executable, "-I", "-c", code], LISTEN)
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    status = {key.strip(): value.split() for key, _, value in (line.partition(":") for line in said.splitlines())}
    assert status["Uid"] == status["Gid"] == [str(USER)] * 4
    assert status["Groups"] == []
    assert status["NoNewPrivs"] == ["1"]
    only = [f"{1 << 10:016x}"]
    assert [status[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")] == [only] * 5
    assert status["Deathsig"] == ["9"]


def test_what_begins_after_its_parent_has_died_ends() -> None:
    argv = while_we_live(["echo", "it runs"])
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout == "it runs\n"
    orphan = subprocess.run(["/bin/sh", "-c", '"$@"; exit 3', "sh", *argv], capture_output=True, text=True, check=False)
    assert (orphan.returncode, orphan.stdout) == (3, "")


@pytest.mark.parametrize("mode", [0o644, 0o600])
def test_all_that_is_published_can_be_read_by_all(tmp_path: Path, mode: int) -> None:
    """Also where the cache was built under a umask that lets nobody read: that file stays as it is."""
    source = tmp_path / "seg0.ts"
    source.write_bytes(b"x")
    source.chmod(mode)
    before = os.umask(0o022)
    try:
        Publisher([LoopSegment(source, 1.0)], tmp_path / "www").publish(0)
    finally:
        os.umask(before)
    published = tmp_path / "www" / "live" / "seg000000.ts"
    assert published.read_bytes() == b"x"
    assert published.stat().st_mode & 0o004
    assert source.stat().st_mode & 0o777 == mode
