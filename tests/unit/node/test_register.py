"""The ownership register: clean takes what a dead owner left and nothing of a living one."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from migrascope.model.problem import Problem
from migrascope.node import cgroup, memory
from migrascope.node.namespace import Namespace
from migrascope.node.register import Register, registers, start_time
from migrascope.node.takedown import Cleaned, clean, remove, take_down
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


@pytest.fixture
def hurt(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a clean-up would have killed or removed on this machine, which it does not do here."""
    done: list[Any] = []
    monkeypatch.setattr(signal, "pidfd_send_signal", lambda handle, number: done.append(handle))
    monkeypatch.setattr(Namespace, "delete", lambda space: done.append(space.name))
    monkeypatch.setattr(cgroup, "remove", done.append)
    return done


def planted(labs: Path, *entries: object) -> Register:
    """The register of a dead lab, in which somebody has written."""
    folder = labs / "ms00000a"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "register.ndjson").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    os.utime(folder, (0, 0))
    return Register(folder)


def test_a_namespace_that_is_not_its_own_is_neither_emptied_nor_deleted_and_that_is_said(
    tmp_path: Path, hurt: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    netns = netns_in(tmp_path, monkeypatch)
    names = ["../../proc/self/ns/net", "..", "", "user", "ms00000b-host-a", "ms00000a-", "ms00000a-../user", "ms00000a"]
    for name in ("user", "ms00000b-host-a", "ms00000a-host-a"):
        (netns / name).write_text("")
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
    netns_in(tmp_path, monkeypatch, "ms00000a-host-a")
    monkeypatch.setattr(Namespace, "inode", lambda space: Path("/proc/self/ns/net").stat().st_ino)
    cleaned = Cleaned()
    take_down(planted(tmp_path / "labs", owner(2**22, 0), {"kind": "namespace", "name": "ms00000a-host-a"}), cleaned)
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


def owner(pid: int, start: int | None) -> dict[str, object]:
    return {"kind": "owner", "pid": pid, "start": start}


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


def netns_in(folder: Path, monkeypatch: pytest.MonkeyPatch, *names: str) -> Path:
    """A folder of namespaces of these names, which are files, and no cgroups."""
    for module in ("namespace", "register", "takedown"):
        monkeypatch.setattr(f"migrascope.node.{module}.NETNS", folder / "netns")
    monkeypatch.setattr(memory, "places", lambda: [folder / "cgroup"])
    (folder / "netns").mkdir()
    for name in names:
        (folder / "netns" / name).write_text("")
    return folder / "netns"


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


def test_one_lab_that_cannot_be_cleaned_does_not_stop_the_rest(
    tmp_path: Path, hurt: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    netns_in(tmp_path, monkeypatch, "ms00000a-host-a", "ms00000b-host-a")
    for lab in ("ms00000a", "ms00000b"):
        folder = tmp_path / "labs" / lab
        folder.mkdir(parents=True)
        (folder / "register.ndjson").write_text(json.dumps({"kind": "namespace", "name": f"{lab}-host-a"}) + "\n")
        os.utime(folder, (0, 0))

    def delete(space: Namespace) -> None:
        if space.name.startswith("ms00000a"):
            raise OSError(16, "Device or resource busy")
        hurt.append(space.name)

    monkeypatch.setattr(Namespace, "delete", delete)
    cleaned = clean(tmp_path / "labs", tmp_path / "none")
    assert (cleaned.labs, hurt) == (["ms00000b"], ["ms00000b-host-a"])
    assert "ms00000a-host-a: [Errno 16]" in cleaned.left[0]
    assert (tmp_path / "labs" / "ms00000a").exists(), "its register finds again what stays"


def test_a_link_with_a_namespaces_name_is_left_and_said(
    tmp_path: Path, hurt: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To unmount what it leads to would take another's namespace away."""
    (netns_in(tmp_path, monkeypatch, "user") / "ms00000a-host-a").symlink_to("user")
    register = planted(tmp_path / "labs", {"kind": "namespace", "name": "ms00000a-host-a"})
    cleaned = Cleaned()
    remove(register, cleaned)
    assert (cleaned.labs, hurt) == ([], [])
    assert "is a link, and no namespace" in cleaned.left[0]


def test_what_a_lost_line_named_is_said_and_not_guessed(
    tmp_path: Path, hurt: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    netns_in(tmp_path, monkeypatch, "ms00000a-host-b", "ms00000a-..", "ms00000aa-x", "ms00000a")
    (tmp_path / "cgroup" / "ms00000a-memory").mkdir(parents=True)
    cleaned = clean_one(planted(tmp_path / "labs"))
    assert hurt == []
    assert cleaned.labs == []
    assert [words.split()[0].rpartition("/")[2] for words in cleaned.left] == ["ms00000a-memory", "ms00000a-host-b"]
    assert "ip netns delete ms00000a-host-b" in cleaned.left[1]


def clean_one(register: Register) -> Cleaned:
    cleaned = Cleaned()
    remove(register, cleaned)
    return cleaned


def test_a_testbed_whose_name_begins_like_anothers_has_nothing_of_it(
    tmp_path: Path, hurt: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    netns_in(tmp_path, monkeypatch, "ms-one-controller", "ms-one-two-controller")
    register, two = (Register.lasting(f"ms-{name}", tmp_path / "testbeds") for name in ("one", "one-two"))
    two.namespace("controller")
    register.namespace("controller")
    file = register.folder / "register.ndjson"
    file.write_text(file.read_text() + json.dumps({"kind": "namespace", "name": "ms-one-two-controller"}) + "\n")
    cleaned = Cleaned()
    take_down(register, cleaned)
    assert hurt == ["ms-one-controller"]
    assert "ms-one-two-controller' is not of ms-one" in cleaned.left[0]


def test_a_testbeds_folder_is_no_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "ms-one").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Problem, match="is no folder"):
        Register.lasting("ms-one", tmp_path)
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.fixture
def inhabited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A namespace of ms00000a in which, as far as anybody can see, this test's own child runs: it is this machine's."""
    netns = netns_in(tmp_path, monkeypatch)
    monkeypatch.setattr("migrascope.node.takedown._machines_own", lambda: iter(()))
    monkeypatch.setattr(Namespace, "inode", lambda space: Path("/proc/self/ns/net").stat().st_ino)
    (netns / "ms00000a-host-a").write_text("")
    return tmp_path / "labs"


def test_a_process_is_ended_only_if_it_started_after_the_owner(
    inhabited: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody's processes are in this test's namespace; only those two are looked at."""
    deleted: list[str] = []
    monkeypatch.setattr(Namespace, "delete", lambda space: deleted.append(space.name))
    with subprocess.Popen(["sleep", "60"]) as child:
        monkeypatch.setattr("migrascope.node.takedown._pids", lambda: [child.pid])
        start = start_time(child.pid)
        assert start is not None
        space = {"kind": "namespace", "name": "ms00000a-host-a"}
        for since in ([owner(2**22, start + 1)], []):
            cleaned = clean_one(planted(inhabited, *since, space))
            assert child.poll() is None
            assert (cleaned.labs, cleaned.processes, deleted) == ([], [], [])
            assert f"{child.pid} sleep: in namespaces of ms00000a, but " in cleaned.left[0]
        cleaned = clean_one(planted(inhabited, owner(2**22, start), space))
        assert child.wait(10) == -signal.SIGKILL
        assert cleaned.processes == [f"{child.pid} sleep"]
        assert (cleaned.labs, deleted, cleaned.left) == (["ms00000a"], ["ms00000a-host-a"], [])


def test_a_number_that_comes_to_another_process_gets_nobody_killed(
    inhabited: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that was seen has ended and this test has its number: the signal goes to the one that was seen."""
    with subprocess.Popen(["sleep", "60"]) as seen, subprocess.Popen(["sleep", "60"]) as other:
        handle = os.pidfd_open(seen.pid)
        seen.kill()
        seen.wait()
        monkeypatch.setattr(os, "pidfd_open", lambda pid: os.dup(handle))
        monkeypatch.setattr("migrascope.node.takedown._pids", lambda: [other.pid])
        cleaned = clean_one(planted(inhabited, owner(2**22, 1), {"kind": "namespace", "name": "ms00000a-nowhere"}))
        assert cleaned.processes == []
        assert other.poll() is None
        os.close(handle)
        other.kill()
