"""The ownership register: clean takes what a dead owner left and nothing of a living one."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from migrascope.node import cgroup, memory, namespace
from migrascope.node.namespace import Namespace
from migrascope.node.register import Cleaned, Register, clean, registers, remove, start_time, take_down
from migrascope.store import removal


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


@pytest.fixture
def hurt(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a clean-up would have killed or removed on this machine, which it does not do here."""
    done: list[Any] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: done.append(pid))
    monkeypatch.setattr(Namespace, "delete", lambda space: done.append(space.name))
    monkeypatch.setattr(cgroup, "remove", done.append)
    return done


def planted(labs: Path, *entries: object) -> Register:
    """The register of a dead lab, in which somebody has written."""
    folder = labs / "ms00000a"
    folder.mkdir(parents=True)
    (folder / "register.ndjson").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    os.utime(folder, (0, 0))
    return Register(folder)


def test_a_namespace_that_is_not_its_own_is_neither_emptied_nor_deleted_and_that_is_said(
    tmp_path: Path, hurt: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(namespace, "NETNS", tmp_path / "netns")
    monkeypatch.setattr("migrascope.node.register.NETNS", tmp_path / "netns")
    (tmp_path / "netns").mkdir()
    names = ["../../proc/self/ns/net", "..", "", "user", "ms00000b-host-a", "ms00000a-", "ms00000a-../user", "ms00000a"]
    for name in ("user", "ms00000b-host-a", "ms00000a-host-a"):
        (tmp_path / "netns" / name).write_text("")
    register = planted(
        tmp_path / "labs", *({"kind": "namespace", "name": name} for name in [*names, "ms00000a-host-a"])
    )
    assert [space.name for space in register.namespaces()] == ["ms00000a-host-a"]
    cleaned = clean(tmp_path / "labs", tmp_path / "none")
    assert hurt == ["ms00000a-host-a"]
    assert cleaned.namespaces == ["ms00000a-host-a"]
    assert any("/user' is not of ms00000a" in words for words in cleaned.left)
    assert any("ms00000b-host-a' is not of ms00000a" in words for words in cleaned.left)
    assert cleaned.labs == ["ms00000a"]


def test_a_cgroup_that_is_not_its_own_is_not_removed_and_that_is_said(
    tmp_path: Path, hurt: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = tmp_path / "cgroup"
    monkeypatch.setattr(memory, "places", lambda: [ours])
    (ours / "user.slice").mkdir(parents=True)
    (ours / "user.slice" / "ms00000a-memory").mkdir()
    (ours / "ms00000a-memory").mkdir()
    paths = [
        ours,
        ours / "user.slice",
        ours / "user.slice/ms00000a-memory",
        ours / "ms00000a-x/../user.slice",
        Path("/"),
    ]
    register = planted(tmp_path / "labs", *({"kind": "cgroup", "path": str(path)} for path in paths))
    assert register.cgroups() == []
    register.cgroup(ours / "ms00000a-memory")
    cleaned = Cleaned()
    take_down(register, cleaned)
    assert hurt == [ours / "ms00000a-memory"]
    assert {words.split("'")[1] for words in cleaned.left} >= {str(ours), str(paths[1]), str(paths[2])}


def test_a_name_of_its_own_that_leads_to_this_machines_network_gets_nobody_killed(
    tmp_path: Path, hurt: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(namespace, "NETNS", tmp_path)
    (tmp_path / "ms00000a-host-a").symlink_to("/proc/self/ns/net")
    cleaned = Cleaned()
    take_down(planted(tmp_path / "labs", {"kind": "namespace", "name": "ms00000a-host-a"}), cleaned)
    assert hurt == ["ms00000a-host-a"]
    assert cleaned.processes == []


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


def test_what_of_a_lab_cannot_be_removed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register = planted(tmp_path)
    (register.folder / "disk").mkdir()
    monkeypatch.setattr(removal, "_need_no_mount", refuse_mounted)
    cleaned = Cleaned()
    remove(register, cleaned)
    assert (cleaned.labs, cleaned.left) == ([], [f"{register.folder} is not removed: mounted"])
    assert (register.folder / "disk").exists()


def refuse_mounted(path: Path, *_: object) -> None:
    raise removal.NotRemoved(f"{path} is not removed: mounted")


def test_a_role_that_would_not_be_found_again_is_not_written_down(tmp_path: Path) -> None:
    register = Register.create(tmp_path)
    with pytest.raises(ValueError, match="no valid name"):
        register.namespace("../x")
    assert register.namespaces() == []
