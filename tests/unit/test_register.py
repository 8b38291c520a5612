"""The ownership register: clean takes what a dead owner left and nothing of a living one."""

import json
import os
import subprocess
import sys
from pathlib import Path

from migrascope.node.register import Register, clean, registers, start_time


def of_a_dead_process(labs: Path) -> Register:
    code = "import sys; from pathlib import Path; from migrascope.node.register import Register as R; "
    code += "print(R.create(Path(sys.argv[1])).id)"
    made = subprocess.run([sys.executable, "-c", code, str(labs)], capture_output=True, text=True, check=True)
    return Register(labs / made.stdout.strip())


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
    register = Register.create(tmp_path)
    line = {"kind": "owner", "pid": os.getpid(), "start": (start_time(os.getpid()) or 0) - 1}
    (register.folder / "register.ndjson").write_text(json.dumps(line) + "\n")
    assert not register.owned()


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
