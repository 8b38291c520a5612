"""The ownership register: clean takes what a dead owner left and nothing of a living one."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from deadlabs import netns_in, of_a_dead_process, owner, planted

from migrascope.model.problem import Problem
from migrascope.node.register import Register, registers, start_time
from migrascope.node.takedown import Cleaned, clean


def test_a_lab_of_this_process_is_owned_and_stays(tmp_path: Path) -> None:
    register = Register.create(tmp_path)
    assert register.owned()
    assert clean(tmp_path).labs == []
    assert register.folder.exists()


def test_a_lab_of_a_dead_process_goes(tmp_path: Path) -> None:
    dead, alive = of_a_dead_process(tmp_path), Register.create(tmp_path)
    assert not dead.owned()
    assert clean(tmp_path).labs == [dead.id]
    assert [register.id for register in registers(tmp_path)] == [alive.id]


def test_a_pid_that_came_to_another_process_does_not_own(tmp_path: Path) -> None:
    here = start_time(os.getpid()) or 0
    register = planted(tmp_path, {"kind": "owner", "pid": os.getpid(), "start": here - 1})
    assert not register.owned()
    register = planted(tmp_path / "other", {"kind": "owner", "pid": os.getpid(), "start": here})
    assert register.owned()


def test_a_folder_whose_owner_has_not_written_yet_is_left_for_a_while(tmp_path: Path) -> None:
    folder = tmp_path / "ms000000"
    folder.mkdir()
    assert Register(folder).owned()
    os.utime(folder, (0, 0))
    assert not Register(folder).owned()


def test_a_namespace_is_written_down_before_it_is_made_and_a_torn_line_is_dropped(tmp_path: Path) -> None:
    register = Register.create(tmp_path)
    space = register.namespace("host-a")
    assert space.name == f"{register.id}-host-a"
    assert not space.path.exists()
    with (register.folder / "register.ndjson").open("a") as file:
        file.write('{"kind": "namesp')
    assert [each.name for each in register.namespaces()] == [space.name]


def test_a_resource_that_was_never_made_is_no_error(tmp_path: Path) -> None:
    dead = of_a_dead_process(tmp_path)
    dead.namespace("host-a")
    cleaned = clean(tmp_path)
    assert (cleaned.labs, cleaned.namespaces, cleaned.processes) == ([dead.id], [], [])


def test_nothing_to_clean_where_no_lab_ever_was(tmp_path: Path) -> None:
    assert clean(tmp_path / "never") == clean(tmp_path)


def test_a_process_is_named_by_its_start() -> None:
    assert start_time(os.getpid()) is not None
    with subprocess.Popen(["true"]) as child:
        child.wait()
    assert start_time(child.pid) is None


def test_the_folder_of_a_testbed_stays_when_its_nodes_are_dead(tmp_path: Path) -> None:
    register = Register.lasting("ms-one", tmp_path)
    (tmp_path / "ms-one" / "state").write_text("kept")
    register.namespace("controller")
    assert not register.owned()
    clean(tmp_path / "none", tmp_path)
    assert (tmp_path / "ms-one" / "state").exists()
    register.claim()
    assert register.owned()


def test_what_is_written_after_a_torn_line_is_read(tmp_path: Path) -> None:
    register = Register.lasting("ms-one", tmp_path)
    with (tmp_path / "ms-one" / "register.ndjson").open("a") as file:
        file.write('{"kind": "namesp')
    register.namespace("controller")
    register.namespace("controller")
    assert [space.name for space in register.namespaces()] == ["ms-one-controller"]


def test_a_register_of_nonsense_is_read_without_an_error(tmp_path: Path, hurt: list[Any]) -> None:
    nonsense: list[Any] = [7, None, "x", [], {}, {"kind": []}, {"kind": "namespace"}, {"kind": "cgroup", "path": 7}]
    nonsense += [{"kind": "owner"}, {"kind": "owner", "pid": "x", "start": None}, {"kind": "images", "paths": [7]}]
    nonsense += [{"kind": "owner", "pid": 2**22 + 7, "start": None}, {"kind": "namespace", "name": {"a": 1}}]
    register = planted(tmp_path, *nonsense)
    with (register.folder / "register.ndjson").open("ab") as file:
        file.write(b"\xff\xfe\n")
    os.utime(register.folder, (0, 0))
    assert register.images() is None
    assert not register.owned()
    assert clean(tmp_path, tmp_path / "none").labs == [register.id]
    assert hurt == []


@pytest.mark.parametrize("name", ["lost+found", "ms", "ms-", "ms-..", "ms00000", "ms00000g", "msX", "backup", "ms-A"])
def test_a_folder_that_is_no_labs_is_not_touched(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    os.utime(tmp_path / name, (0, 0))
    assert clean(tmp_path, tmp_path) == Cleaned()
    assert (tmp_path / name).exists()
    with pytest.raises(ValueError, match="is no folder of a lab or testbed"):
        Register(tmp_path / name)


def test_a_link_or_a_file_in_the_place_of_a_lab_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "foreign").mkdir()
    (tmp_path / "ms00000a").symlink_to(tmp_path / "foreign")
    (tmp_path / "ms00000b").write_text("")
    assert registers(tmp_path) == []
    assert clean(tmp_path, tmp_path) == Cleaned()


def test_a_role_that_would_not_be_found_again_is_not_written_down(tmp_path: Path) -> None:
    register = Register.create(tmp_path)
    with pytest.raises(ValueError, match="no valid name"):
        register.namespace("../x")
    assert register.namespaces() == []


DEEP = "[" * 100_000
DAMAGED = {
    "binary": b"\xff\xfe\0\x80" * 50 + b"\n",
    "truncated": b'{"kind": "namespace", "na\n',
    "nested": DEEP.encode() + b"\n",
    "nested in an entry": b'{"kind": "owner", "pid": ' + DEEP.encode() + b"\n",
    "many digits": b'{"kind": "owner", "pid": ' + b"9" * 6000 + b', "start": 1}\n',
    "a long line": b'{"kind": "namespace", "name": "' + b"x" * 500_000 + b'"}\n',
    "a bool for a pid": b'{"kind": "owner", "pid": true, "start": 1}\n',
    "a negative pid": b'{"kind": "owner", "pid": -1, "start": 1}\n',
    "a text for a pid": b'{"kind": "owner", "pid": "1", "start": 1}\n',
    "no kind": b"{}\n",
    "no entry": b"7\n",
    "an empty line": b"\n",
    "a kind of nobody's": b'{"kind": "weather"}\n',
    "a nul": b'{"kind": "namespace", "name": 0}\n',
    "not a number": b'{"kind": "owner", "pid": NaN, "start": Infinity}\n',
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_line_stops_nothing_else(
    tmp_path: Path, hurt: list[Any], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    netns_in(tmp_path, monkeypatch, "ms00000a-host-a", "ms00000a-host-b")
    labs = tmp_path / "labs"
    register = planted(labs, owner(2**22, 5), {"kind": "namespace", "name": "ms00000a-host-a"})
    file = register.folder / "register.ndjson"
    listed = b'{"kind": "namespace", "name": "ms00000a-host-b"}\n'
    file.write_bytes(file.read_bytes() + DAMAGED[name] + listed)
    register.uses(tmp_path / "image")
    assert register.images() is None, "what it is made of may have been in the damaged line"
    assert not register.owned()
    assert clean(labs, tmp_path / "none").labs == ["ms00000a"]
    assert hurt == ["ms00000a-host-a", "ms00000a-host-b"]


@pytest.mark.parametrize("kind", ["link", "loop", "pipe", "folder", "device", "endless"])
def test_a_register_that_is_no_file_is_damage(tmp_path: Path, hurt: list[Any], kind: str) -> None:
    """One through which nothing is read or written, and which holds nobody up."""
    register = planted(tmp_path / "labs")
    file, elsewhere = register.folder / "register.ndjson", tmp_path / "elsewhere"
    file.unlink()
    elsewhere.write_text(json.dumps(owner(os.getpid(), start_time(os.getpid()))) + "\n")
    match kind:
        case "link":
            file.symlink_to(elsewhere)
        case "loop":
            file.symlink_to(file)
        case "pipe":
            os.mkfifo(file)
        case "folder":
            file.mkdir()
        case "device":
            file.symlink_to("/dev/zero")
        case _:
            with file.open("wb") as endless:
                endless.truncate(2**40)
    os.utime(register.folder, (0, 0))
    before = elsewhere.read_bytes()
    assert not register.owned()
    assert register.images() is None
    if kind in ("link", "loop", "device"):
        with pytest.raises(OSError, match="symbolic links"):
            register.uses(tmp_path)
    assert clean(tmp_path / "labs", tmp_path / "none").labs == ["ms00000a"]
    assert elsewhere.read_bytes() == before
    assert hurt == []


def test_whose_register_is_damaged_while_it_runs_is_still_alive(tmp_path: Path) -> None:
    """A lab in a cloud has no process but its owner: nothing else would say so."""
    code = "import sys; from pathlib import Path; from migrascope.node.register import Register as R; "
    code += "print(R.create(Path(sys.argv[1])).id, flush=True); sys.stdin.read()"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdin=pipe, stdout=pipe, text=True) as alive:
        assert alive.stdout is not None
        register = Register(tmp_path / alive.stdout.readline().strip())
        (register.folder / "register.ndjson").write_bytes(b"\xff\n")
        os.utime(register.folder, (0, 0))
        assert register.owned()
        (register.folder / "register.ndjson").unlink()
        os.utime(register.folder, (0, 0))
        assert register.owned()
        assert clean(tmp_path, tmp_path / "none") == Cleaned()
        alive.communicate("")
    os.utime(register.folder, (0, 0))
    assert not register.owned()


def test_a_folder_from_the_future_does_not_stay_for_ever(tmp_path: Path) -> None:
    register = planted(tmp_path)
    os.utime(register.folder, (2**33, 2**33))
    assert not register.owned()


def test_a_testbeds_folder_is_no_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "ms-one").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Problem, match="is no folder"):
        Register.lasting("ms-one", tmp_path)
    assert list((tmp_path / "elsewhere").iterdir()) == []
